"""The training benchmark runs and reports every variant; its figures are not a test's business."""

from golden import bench_training


def test_benchmark_reports_every_variant(capsys):
    bench_training.main(["--width", "2", "--rounds", "1"])
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["step", "ms", "ratio", "to", "dense"]
    assert [line[:20].strip() for line in lines] == list(bench_training.variants(2))
    assert lines[0].split()[-1] == "1.000"
