"""Sixty faults, each a change of one place, and the test that must find it. ``run.py`` tries them."""

from typing import NamedTuple

KERNELS = "numbacnn/backends/"
ARGUMENTS = ("numbacnn/shapes.py", "numbacnn/values.py")
"""Files that belong to the digest of compiled kernels too: see ``kernel_cache.py``."""


class Mutant(NamedTuple):
    """One fault.

    Args:
        name: what is wrong.
        file: the path below the root.
        old, new: a text that occurs once in the file, and what takes its place.
        test: ``path::name`` below tests/; of the cases of a parametrised test, one may be named. Those of CUDA run in the simulator.
    """

    name: str
    file: str
    old: str
    new: str
    test: str

    @property
    def is_simulated(self) -> bool:
        """Whether the fault is in a CUDA kernel."""
        return self.file.startswith(f"{KERNELS}cuda/")

    @property
    def changes_kernels(self) -> bool:
        """Whether compiled kernels are not those of the unchanged tree."""
        return self.file.startswith(KERNELS) or self.file in ARGUMENTS

    def applied_to(self, text: str) -> str:
        """The file's text with the fault.

        Raises:
            ValueError: ``old`` does not occur exactly once.
        """
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: expected {self.old!r} once in {self.file}, got it {text.count(self.old)} times")
        return text.replace(self.old, self.new)


PLAIN = f"{KERNELS}cpu/plain/"
FAST = f"{KERNELS}cpu/"
CUDA = f"{KERNELS}cuda/"

MUTANTS = (
    # --- convolution ---------------------------------------------------------------------------------------------------------------
    Mutant(
        "strides of rows and columns exchanged", f"{PLAIN}conv2d.py",
        "bias, rows.stride, columns.stride, rows", "bias, columns.stride, rows.stride, rows",
        "backends/test_conv2d.py::test_conv2d_equals_the_formula[plain-float64-strides three and two, same]",
    ),
    Mutant(
        "filters flipped", f"{PLAIN}conv2d.py",
        "_correlate(padded, filters, bias,", "_correlate(padded, filters[::-1, ::-1].copy(), bias,",
        "test_lecture_vectors.py::test_curve_filter_gives_6600_on_the_curve_and_0_beside_it[float64-numbacnn]",
    ),
    Mutant(
        "bias added twice", f"{PLAIN}conv2d.py",
        "out[j, f] = row[f]", "out[j, f] = row[f] + row[f]",
        "backends/test_conv2d.py::test_conv2d_equals_the_formula[plain-float64-three channels]",
    ),
    Mutant(
        "filters not turned for dx", f"{PLAIN}conv2d.py",
        "filters[kh - 1 - u, kw - 1 - v, :", "filters[u, v, :",
        "backends/test_conv2d.py::test_conv2d_gradients_equal_the_formula[plain-float64-three channels]",
    ),
    Mutant(
        "dx misses the last column", f"{PLAIN}conv2d.py",
        "if 0 <= r < height and 0 <= q < width:", "if 0 <= r < height and 0 <= q < width - 1:",
        "backends/test_conv2d.py::test_conv2d_gradients_equal_the_formula",
    ),
    Mutant(
        "dW of the first image of a group alone", f"{PLAIN}conv2d.py",
        "for n in range(first, stop):", "for n in range(first, first + 1):",
        "backends/test_conv2d.py::test_conv2d_gradients_equal_the_formula[plain-float64-a batch of 33]",
    ),
    # --- pooling -------------------------------------------------------------------------------------------------------------------
    Mutant(
        "pooling windows end a cell before the border", f"{PLAIN}pool2d.py",
        "min(axis.kernel, axis.size - start)", "min(axis.kernel, axis.size - start - 1)",
        "backends/test_pooling.py::test_max_pool_names_the_winning_cell_of_each_window",
    ),
    Mutant(
        "the last of equal maxima wins", f"{PLAIN}pool2d.py",
        "value > best[c] or", "value >= best[c] or",
        "backends/test_pooling.py::test_max_pool_sends_gradient_to_the_first_of_equal_maxima",
    ),
    Mutant(
        "gradients of overlapping windows replace each other", f"{PLAIN}pool2d.py",
        "c] += dy[n, i, j, c]", "c] = dy[n, i, j, c]",
        "backends/test_pooling.py::test_max_pool_adds_up_gradients_of_overlapping_windows",
    ),
    Mutant(
        "average pooling counts the padding", f"{PLAIN}pool2d.py",
        "cells = y.dtype.type(rows.kernel * columns.kernel if count_padding", "cells = y.dtype.type(rows.kernel * columns.kernel if True",
        "backends/test_pooling.py::test_average_pool_does_not_count_padding",
    ),
    # --- activations and the loss --------------------------------------------------------------------------------------------------
    Mutant(
        "ReLU passes a gradient at 0", f"{PLAIN}activations.py",
        "dx[i] = dy[i] if y[i] > zero else zero", "dx[i] = dy[i] if y[i] >= zero else zero",
        "backends/test_activations.py::test_no_gradient_passes_relu_at_zero_or_nan_but_nan_passes",
    ),
    Mutant(
        "softmax without the shift by the maximum", f"{PLAIN}activations.py",
        "exp(z[k] - z[best])", "exp(z[k])",
        "backends/test_activations.py::test_softmax_of_huge_logits_does_not_overflow",
    ),
    Mutant(
        "the gradient of the summed loss, not of the mean", f"{PLAIN}loss.py",
        "(1 if k == label else 0)) / batch", "(1 if k == label else 0))",
        "backends/test_loss.py::test_losses_answers_and_gradient_equal_the_formula",
    ),
    # --- dropout, batch normalisation, distortions ---------------------------------------------------------------------------------
    Mutant(
        "dropout does not scale what it keeps", f"{PLAIN}dropout.py",
        "x.dtype.type(1.0 / (1.0 - rate))", "x.dtype.type(1.0)",
        "test_lecture_vectors.py::test_dropout_scales_the_values_it_keeps",
    ),
    Mutant(
        "one dropout mask for all steps", f"{PLAIN}dropout.py",
        "^ np.uint32(step)", "^ np.uint32(0)",
        "backends/test_dropout.py::test_dropout_with_another_seed_or_step_draws_an_unrelated_mask",
    ),
    Mutant(
        "variance divided by n - 1", f"{PLAIN}batch_norm.py",
        "_squares(x, images, groups, mean), x.shape[0])", "_squares(x, images, groups, mean), x.shape[0] - 1)",
        "backends/test_batch_norm.py::test_moments_are_those_in_float64",
    ),
    Mutant(
        "a lane of a channel's sums left out", f"{PLAIN}batch_norm.py",
        "for lane in range(LANES):", "for lane in range(LANES - 1):",
        "backends/test_batch_norm.py::test_moments_are_those_in_float64",
    ),
    Mutant(
        "all images of a batch distorted alike", f"{PLAIN}augment.py",
        "np.uint32((first + n) * DRAWS + k)", "np.uint32(k)",
        "backends/test_augment.py::test_an_image_is_distorted_the_same_way_in_a_larger_batch_and_unlike_its_neighbours",
    ),
    # --- updates -------------------------------------------------------------------------------------------------------------------
    Mutant(
        "Adam's epsilon under the root", f"{PLAIN}updates.py",
        "math.sqrt(v[i]) + eps", "math.sqrt(v[i] + eps)",
        "backends/test_updates.py::test_updates_equal_the_formula_over_three_steps[plain-float64-7-adam]",
    ),
    Mutant(
        "momentum dampens the gradient too", f"{PLAIN}updates.py",
        "decay * velocity[i] - rate * gradient[i]", "decay * (velocity[i] - rate * gradient[i])",
        "backends/test_updates.py::test_updates_equal_the_formula_over_three_steps[plain-float64-7-momentum]",
    ),
    # --- sums and products ---------------------------------------------------------------------------------------------------------
    Mutant(
        "sums over a batch lose the odd image of a half", "numbacnn/groups.py",
        "first + half, group - groups, images - half", "first + half, group - groups, half",
        "backends/test_conv2d.py::test_sums_over_a_batch_equal_those_in_float64",
    ),
    Mutant(
        "ReLU after each part of a long sum", f"{FAST}products/dense.py",
        "relu and k + count == terms,\n", "relu,\n",
        "backends/cpu/test_fast_kernels.py::test_dense_equals_the_product_in_float64[(7, 257, 65)]",
    ),
    Mutant(
        "a long correlation keeps its last rows alone", f"{FAST}products/points.py",
        "if add or first > 0 else", "if add else",
        "backends/cpu/test_fast_kernels.py::test_a_correlation_adds_groups_by_a_tree_however_they_are_handed_over",
    ),
    # --- fast convolution ----------------------------------------------------------------------------------------------------------
    Mutant(
        "all groups of a batch write to one sum of dW: a race", f"{FAST}conv/direct.py",
        "part = parts[group]", "part = parts[0]",
        "backends/cpu/test_fast_kernels.py::test_threads_that_sum_a_gradient_of_filters_at_the_same_time_do_not_meet",
    ),
    Mutant(
        "direct convolution loses an image's last line", f"{FAST}conv/direct.py",
        "min(lines, height - top)", "min(lines, height - top - 1)",
        "backends/test_conv2d.py::test_a_block_without_bias_and_with_relu[fast-float32-standard]",
    ),
    Mutant(
        "each chunk of a group in the place of the one before", f"{FAST}conv/winograd.py",
        "chunk.is_begun, chunk.is_cut", "False, chunk.is_cut",
        "backends/cpu/test_winograd.py::test_chunks_of_a_batch_add_up[of parts of groups-None]",
    ),
    Mutant(
        "a transform so short that an image's edges meet", f"{FAST}conv/lengths.py",
        "max(before_the_first, after_the_last, axis.size,", "max(axis.size,",
        "backends/cpu/test_fast_kernels.py::test_cells_that_wrap_around_in_a_transform_meet_zeros_only",
    ),
    Mutant(
        "an image convolved otherwise alone than in a batch", f"{FAST}conv/algorithm.py",
        "if count < LEAST_IMAGES and not is_prepared:", "if count < LEAST_IMAGES:",
        "test_network.py::test_an_image_is_predicted_with_the_same_bits_in_any_batch[cnn]",
    ),
    # --- emitted code --------------------------------------------------------------------------------------------------------------
    Mutant(
        "the last of equal maxima wins a fused pooling", f"{FAST}codegen/pool_cell.py",
        'fcmp_unordered(">", value, best[0])', 'fcmp_unordered(">=", value, best[0])',
        "backends/test_conv2d.py::test_the_first_of_equals_wins_a_fused_pooling_and_nan_does[fast-float32-False]",
    ),
    Mutant(
        "ReLU makes 0 of NaN", f"{FAST}codegen/vectors.py",
        'fcmp_ordered("<=", value, zero)', 'fcmp_unordered("<=", value, zero)',
        "backends/test_dense.py::test_dense_passes_nan_on_to_its_row_alone[fast-float32]",
    ),
    Mutant(
        "Fourier's rotation the wrong way round", f"{FAST}codegen/fourier.py",
        "c, s = cosine(k, n), direction *", "c, s = cosine(k, n), -direction *",
        "backends/cpu/test_straight_line.py::test_every_transform_equals_that_of_numpy",
    ),
    # --- CUDA ----------------------------------------------------------------------------------------------------------------------
    Mutant(
        "CUDA: dx of the last term alone", f"{CUDA}plain/conv2d.py",
        "total += dy[n, i, j, f] * filters[u, v, c, f]", "total = dy[n, i, j, f] * filters[u, v, c, f]",
        "backends/test_conv2d.py::test_conv2d_gradients_equal_the_formula",
    ),
    Mutant(
        "CUDA: the last window over a cell forgotten", f"{CUDA}plain/geometry.py",
        "min(position // axis.stride + 1, axis.out)", "min(position // axis.stride, axis.out)",
        "backends/test_pooling.py::test_average_pool_and_its_gradient_equal_the_formula",
    ),
    Mutant(
        "CUDA: variance without the distances between the parts' means", f"{CUDA}plain/batch_norm.py",
        "+ rows * distance * distance if squares", "if squares",
        "backends/test_batch_norm.py::test_means_that_differ_from_part_to_part_count_in_the_variance",
    ),
    Mutant(
        "CUDA: a reduction without its barrier", f"{CUDA}plain/reduction.py",
        "        cuda.syncthreads()\n        if t <", "        if t <",
        "backends/cuda/test_reduction.py::test_sums_are_whole_whatever_the_number_of_lanes",
    ),
    Mutant(
        "CUDA: a slice multiplied before it is complete", f"{CUDA}tiled/product.py",
        "            cuda.syncthreads()\n            k += depth", "            k += depth",
        "backends/test_dense.py::test_dense_and_its_gradients_equal_the_formula",
    ),
    Mutant(
        "CUDA: filter cells lost that the stride does not divide", f"{CUDA}tiled/conv2d.py",
        "cells = (axis.kernel - first + axis.stride - 1) // axis.stride", "cells = (axis.kernel - first) // axis.stride",
        "backends/test_conv2d.py::test_a_block_of_a_convolution_alone_equals_the_formulas",
    ),
    Mutant(
        "CUDA: a fused update applied after an infinite loss", f"{CUDA}tiled/dense.py",
        "if is_update and not math.isfinite(", "if is_update and math.isnan(",
        "backends/test_updates.py::test_a_fused_update_is_held_back_unless_the_loss_is_finite",
    ),
    Mutant(
        "CUDA: parameters updated together by one gradient", f"{CUDA}plain/updates.py",
        "vs[k], i, gradients[k][i]", "vs[k], i, gradients[0][i]",
        "backends/test_updates.py::test_parameters_are_updated_together_as_one_after_the_other",
    ),
    Mutant(
        "CUDA: a gradient passes where ReLU gave zero", f"{CUDA}tiled/masked.py",
        "load(y, i) > zero", "load(y, i) >= zero",
        "backends/test_dense.py::test_the_gradient_of_a_layer_with_relu_has_the_bits_of_one_after_the_other",
    ),
    Mutant(
        "CUDA: a cell between two windows of a pooling takes the gradient of one", f"{CUDA}tiled/pooling.py",
        " and u < pool.kh and v < pool.kw", "",
        "backends/test_conv2d.py::test_fused_pooling_has_the_bits_of_one_after_the_other",
    ),
    Mutant(
        "CUDA: the bias's sums end before the last part", f"{CUDA}tiled/product.py",
        "run_of(group, more_count)", "run_of(group, more_count - 1)",
        "backends/test_conv2d.py::test_a_block_of_a_convolution_alone_equals_the_formulas",
    ),
    # --- shapes and layers ---------------------------------------------------------------------------------------------------------
    Mutant(
        "same padding: the odd cell before", "numbacnn/shapes.py",
        "out, total // 2, total - total // 2, dilation)", "out, total - total // 2, total // 2, dilation)",
        "layers/test_shapes.py::test_same_covers_every_cell_and_pads_the_odd_one_after",
    ),
    Mutant(
        "dropout in prediction too", "numbacnn/layers/dropout.py",
        "if not context.training or self.rate == 0:", "if self.rate == 0:",
        "test_network.py::test_dropout_is_the_identity_when_not_training",
    ),
    Mutant(
        "batch normalisation predicts by the batch", "numbacnn/layers/batch_norm.py",
        "if not context.training:", "if context.training is None:",
        "test_network.py::test_batch_norm_uses_the_batch_while_training_and_its_averages_after",
    ),
    Mutant(
        "a convolution's fan-in without its window", "numbacnn/layers/conv2d.py",
        "fan_in, fan_out = kh * kw * depth, kh * kw * (", "fan_in, fan_out = depth, (",
        "test_lecture_vectors.py::test_networks_start_with_the_lectures_initial_weights",
    ),
    Mutant(
        "He's variance is Glorot's", "numbacnn/layers/initialization.py",
        '"he_normal": VarianceScaling(2.0, "in",', '"he_normal": VarianceScaling(1.0, "average",',
        "test_lecture_vectors.py::test_he_normal_is_keras_truncated_normal",
    ),
    # --- networks and training -----------------------------------------------------------------------------------------------------
    Mutant(
        "gradients of branches replace each other", "numbacnn/network.py",
        "ops.add(arriving[name], dx) if name in arriving else dx", "dx",
        "test_network.py::test_every_gradient_of_a_network_equals_its_finite_difference[branched]",
    ),
    Mutant(
        "one dropout mask for all layers", "numbacnn/network.py",
        "DropoutKey(seed, step, planned.position, first)", "DropoutKey(seed, step, 0, first)",
        "test_network.py::test_two_dropout_layers_drop_other_values",
    ),
    Mutant(
        "the last, partial batch left out", "numbacnn/network.py",
        "for first in range(0, count, size))", "for first in range(0, count - size + 1, size))",
        "test_network.py::test_batches_cover_everything_once",
    ),
    Mutant(
        "pixels divided by 256", "numbacnn/normalisation.py",
        "PIXEL_SCALE = 1 / 255", "PIXEL_SCALE = 1 / 256",
        "test_network.py::test_the_brightest_pixel_is_one_and_the_darkest_zero",
    ),
    Mutant(
        "Adam without bias correction", "numbacnn/optimizers.py",
        "learning_rate * math.sqrt(1 - power(self.beta2, step)) / (1 - power(self.beta1, step))", "learning_rate",
        "test_lecture_vectors.py::test_optimizer_takes_the_lectures_five_steps",
    ),
    Mutant(
        "the schedule an epoch ahead", "numbacnn/schedules.py",
        "power(decay, math.floor(time))", "power(decay, math.floor(time) + 1)",
        "test_lecture_vectors.py::test_learning_rate_decays_as_in_the_lecture",
    ),
    Mutant(
        "the rate decays within the epoch", "numbacnn/schedules.py",
        "power(decay, math.floor(time))", "decay**time",
        "test_schedules.py::test_an_exponential_rate_changes_with_each_epoch_and_not_within_one",
    ),
    Mutant(
        "the same order in every epoch", "numbacnn/training/order.py",
        "stream(seed, SHUFFLE_STREAM, epoch)", "stream(seed, SHUFFLE_STREAM, 0)",
        "training/test_training.py::test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own",
    ),
    Mutant(
        "validation images trained on", "numbacnn/training/order.py",
        "np.sort(order[held_out:]), np.sort", "np.sort(order), np.sort",
        "training/test_training.py::test_validation_images_are_held_out_and_the_best_epoch_is_kept",
    ),
    Mutant(
        "images shuffled, labels not", "numbacnn/training/loop.py",
        "ops.asarray(classes[order])", "ops.asarray(classes[training_indices])",
        "training/test_training.py::test_training_learns",
    ),
    Mutant(
        "training without dropout and batch statistics", "numbacnn/training/loop.py",
        "x, training=True, seed", "x, training=False, seed",
        "training/test_training.py::test_every_step_has_a_dropout_mask_and_an_update_of_its_own_number",
    ),
    Mutant(
        "the training loop's dropout masks of all steps alike", "numbacnn/training/loop.py",
        "seed=state.settings.seed, step=state.step)", "seed=state.settings.seed, step=0)",
        "training/test_training.py::test_every_step_has_a_dropout_mask_and_an_update_of_its_own_number",
    ),
    # --- answers -------------------------------------------------------------------------------------------------------------------
    Mutant(
        "the largest logit sought over the batch", "numbacnn/metrics.py",
        "predicted = logits.argmax(axis=1)", "predicted = logits.argmax(axis=0)",
        "test_network.py::test_metrics_count_what_was_taken_for_what",
    ),
    Mutant(
        "confusion table transposed", "numbacnn/metrics.py",
        "truth * classes + predicted", "predicted * classes + truth",
        "test_network.py::test_metrics_count_what_was_taken_for_what",
    ),
    Mutant(
        "losses and probabilities without the shift by the maximum", "numbacnn/prediction.py",
        "return logits - logits.max(axis=1, keepdims=True)", "return logits",
        "test_network.py::test_probabilities_of_an_image_add_up_to_one_for_logits_of_any_size",
    ),
    # --- pictures and data ---------------------------------------------------------------------------------------------------------
    Mutant(
        "digits centred by their box, not by mass", "numbacnn/pictures/normalise.py",
        "round(side / 2 - mass)", "round((side - length) / 2)",
        "pictures/test_normalise.py::test_a_large_off_centre_drawing_is_cropped_scaled_and_centred",
    ),
    Mutant(
        "IDX headers read as little-endian", "numbacnn/datasets/idx.py",
        'f">{len(header) // 4}I"', 'f"<{len(header) // 4}I"',
        "datasets/test_idx.py::test_images_and_labels_are_read_gzipped_or_not",
    ),
    Mutant(
        "a label one past the last class taken", "numbacnn/datasets/idx.py",
        "labels >= classes", "labels > classes",
        "datasets/test_idx.py::test_a_label_that_is_no_digit_is_refused_with_its_position",
    ),
)  # fmt: skip
