"""The command line of numbacnn. Installed as ``numbacnn_cli``; the only place that prints."""
