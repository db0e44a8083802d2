"""A stranger's lines in the log: short, few, and counted where they are left out."""

from structlog.testing import capture_logs

from server.support.rationed import LINES_AT_ONCE, LONGEST, RationedLog, shortened


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_flood_of_lines_is_a_few_lines_and_a_number() -> None:
    clock = Clock()
    log = RationedLog("door", clock=clock)
    with capture_logs() as logs:
        for _ in range(10_000):
            log.info("refused", why="too many")
        clock.now += 1
        log.info("refused", why="too many")

    assert len(logs) == LINES_AT_ONCE + 1
    assert logs[-1]["left_out"] == 10_000 - LINES_AT_ONCE
    assert all("left_out" not in entry for entry in logs[:-1])


def test_each_kind_has_a_ration_of_its_own() -> None:
    log = RationedLog("door", clock=Clock())
    with capture_logs() as logs:
        for _ in range(1000):
            log.info("refused", kind=404)
        log.warning("refused", kind=503)
        log.error("cannot accept")

    assert [entry["log_level"] for entry in logs[LINES_AT_ONCE:]] == ["warning", "error"]


def test_what_is_left_out_is_told_once() -> None:
    clock = Clock()
    log = RationedLog("door", clock=clock)
    with capture_logs() as logs:
        for _ in range(LINES_AT_ONCE + 3):
            log.info("refused")
        clock.now += 10
        log.info("refused")
        log.info("refused")

    assert [entry.get("left_out") for entry in logs[LINES_AT_ONCE:]] == [3, None]


def test_long_values_are_cut_and_say_how_long_they_were() -> None:
    with capture_logs() as logs:
        RationedLog("door", clock=Clock()).info("refused", why="x" * 16_000, status=404)

    [entry] = logs
    assert len(entry["why"]) < LONGEST + 30
    assert "16000" in entry["why"]
    assert entry["status"] == 404
    assert shortened("short") == "short"
