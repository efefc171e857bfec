"""ECGBench: tasks as data files, two parsers, scores with intervals, backends, runner, table and report."""
