"""Settings: what wins over what, and one clear line about every kind of nonsense."""

import re
from pathlib import Path

import attrs
import pytest
from attrs import NOTHING

from server.http.access import AccessRules
from server.settings.arguments import parse
from server.settings.config import Settings
from server.settings.options import OPTIONS, Option
from server.support.limits import Limits

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEEDED = {"webhook_url": ["--webhook-secret", SECRET]}
"""What must be given with an option that would make no sense without it."""

ALL = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


def value_of(settings: Settings, option: Option) -> object:
    source = settings.limits if option.field in attrs.asdict(Limits()) else settings
    return getattr(source, option.field)


def other_than(option: Option) -> str:
    """Some valid text for an option that is not its default."""
    for text in (
        "on",
        "json",
        "error",
        "example.org",
        "2000000",
        "4097",
        "sqlite:///other.db",
        "7",
        "10.0.0.0/8",
        "https://example.org/hook",
        SECRET,
    ):
        try:
            if option.read(text) != option.default:
                return text
        except ValueError:
            continue
    raise AssertionError(option.name)


def complaint(
    capsys: pytest.CaptureFixture[str], argv: list[str], environ: dict[str, str] | None = None
) -> str:
    """Parse nonsense; return the one line on standard error."""
    with pytest.raises(SystemExit) as stop:
        parse(argv, environ or {})
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    return captured.err.rstrip("\n")


def test_without_arguments_everything_is_as_documented() -> None:
    assert parse([], {}) == Settings()
    assert Settings().limits == Limits()
    assert (Settings().host, Settings().port) == ("0.0.0.0", 8080)  # noqa: S104


def test_a_leading_word_serve_is_skipped_once() -> None:
    assert parse(["serve", "--port", "1"], {}).port == 1


@pytest.mark.parametrize("command", ["db upgrade", "db current"])
def test_the_database_has_commands_of_its_own(command: str) -> None:
    settings = parse([*command.split(), "--database-url", "sqlite:///a.db"], {})

    assert (settings.command, settings.database_url) == (command, "sqlite:///a.db")


def test_every_limit_has_an_option() -> None:
    fields = {field.name for field in attrs.fields(Limits)}
    assert fields <= {option.field for option in OPTIONS}


@ALL
def test_an_option_bears_the_name_of_its_field(option: Option) -> None:
    assert option.name.removeprefix("max_") == option.field.removeprefix("max_")


def test_what_the_settings_pass_on_has_no_default_of_its_own() -> None:
    assert [field.name for field in attrs.fields(AccessRules) if field.default is not NOTHING] == []


@ALL
def test_the_default_of_an_option_is_that_of_the_settings(option: Option) -> None:
    assert value_of(Settings(), option) == option.default
    assert option.read(option.shown_default) == option.default


@ALL
def test_an_option_can_be_given_on_the_command_line(option: Option) -> None:
    text = other_than(option)
    argv = [option.flag, text] if option.unit else [option.flag]
    argv += NEEDED.get(option.name, [])

    assert value_of(parse(argv, {}), option) == option.read(text)


@ALL
def test_an_option_can_be_given_in_the_environment(option: Option) -> None:
    text = other_than(option)

    needed = NEEDED.get(option.name, [])
    assert value_of(parse(needed, {option.variable: text}), option) == option.read(text)


@ALL
def test_an_empty_variable_counts_as_absent(option: Option) -> None:
    assert parse([], {option.variable: ""}) == Settings()


def test_the_command_line_wins_over_the_environment() -> None:
    environ = {"PARLEY_PORT": "1", "PARLEY_ECHO": "yes", "PARLEY_INBOUND_RATE": "5"}

    settings = parse(["--port", "2", "--no-echo"], environ)

    assert (settings.port, settings.echo, settings.limits.inbound_rate) == (2, False, 5.0)


def test_a_bad_variable_that_the_command_line_overrides_does_not_matter() -> None:
    assert parse(["--port", "2"], {"PARLEY_PORT": "x"}).port == 2


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *(("1", True), ("TRUE", True), ("yes", True), ("On", True)),
        *(("0", False), ("false", False), ("NO", False), ("off", False)),
    ],
)
def test_a_switch_in_the_environment_takes_the_usual_words(text: str, meant: bool) -> None:
    assert parse([], {"PARLEY_ECHO": text}).echo is meant


def test_an_unknown_variable_is_reported_and_no_error() -> None:
    settings = parse([], {"PARLEY_PROT": "1", "PARLEY_A": "2", "OTHER": "3", "PARLEY_PORT": "4"})

    assert settings.unknown_variables == ("PARLEY_A", "PARLEY_PROT")
    assert settings.port == 4


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "-1"),
        ("port", "65536"),
        ("port", "1_0"),
        ("port", " 1"),
        ("port", "٣"),  # ARABIC-INDIC DIGIT THREE
        ("port", "9" * 5000),
        ("max-room-capacity", "1"),
        ("max-room-capacity", "100001"),
        ("inbound-rate", "0"),
        ("inbound-rate", "nan"),
        ("inbound-rate", "inf"),
        ("inbound-rate", "1.2.3"),
        ("inbound-rate", "1e999"),
        ("inbound-burst", "0"),
        ("inbound-burst", "1.5"),
        ("drain-seconds", "-0.1"),
        ("heartbeat-seconds", "0"),
        ("log-level", "loud"),
        ("log-format", "xml"),
        ("host", "a b"),
        ("host", "a\nb"),
        ("max-message-fragments", "0"),
        ("room-rate", "1"),
        ("database-url", "mysql://h/d"),
        ("database-url", "sqlite://"),
        ("max-outbox-bytes", "5000"),
    ],
)
def test_nonsense_is_one_line_that_names_the_option_or_the_variable(
    capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    variable = "PARLEY_" + name.upper().replace("-", "_")

    by_option = complaint(capsys, [f"--{name}={text}"])
    by_variable = complaint(capsys, [], {variable: text})

    assert by_option.startswith(f"parley: --{name}")
    assert re.match(rf"parley: (--{name} \()?{variable}", by_variable)
    assert by_option.isprintable()
    assert len(by_option) < 200


def test_a_switch_in_the_environment_takes_no_other_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert complaint(capsys, [], {"PARLEY_ECHO": "maybe"}).startswith("parley: PARLEY_ECHO: ")


def test_zero_is_a_time_to_drain() -> None:
    assert parse(["--drain-seconds", "0"], {}).limits.drain_seconds == 0


def test_an_outbox_not_given_grows_with_the_rooms() -> None:
    limits = parse(["--max-room-capacity", "5000"], {}).limits

    assert limits.outbox_bytes >= 5000 * 512


@pytest.mark.parametrize(
    "argv",
    [
        ["--prot", "1"],
        ["--por", "1"],  # no abbreviations
        ["--port"],
        ["--echo=1"],
        ["run"],
        ["serve", "serve"],
        ["db"],
        ["db", "downgrade"],
        ["upgrade"],
        ["a\nb\x1b[1m"],
    ],
)
def test_what_is_no_option_is_one_line_too(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert complaint(capsys, argv).isprintable()


def test_help_shows_everything_about_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(["--help"], {})

    assert stop.value.code == 0
    words = capsys.readouterr().out.split()
    unwrapped = "".join(words)
    for option in OPTIONS:
        assert option.flag in words
        assert "".join(option.meaning.split()) in unwrapped
        assert f"(default{option.shown_default};{option.variable})" in unwrapped


def test_version_is_told_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(["--version"], {})

    assert stop.value.code == 0
    assert re.fullmatch(r"parley \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_backup_has_the_name_of_its_file() -> None:
    settings = parse(["db", "backup", "copy.db", "--database-url", "sqlite:///a.db"], {})

    assert (settings.command, settings.backup_file) == ("db backup", "copy.db")


@pytest.mark.parametrize("words", [[], [""], ["--log-level", "info"]])
def test_a_backup_without_a_file_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["db", "backup", *words], {})

    assert "FILE" in capsys.readouterr().err


@pytest.mark.parametrize("text", [SECRET, f"  {SECRET}\n"])
def test_a_secret_may_stand_in_a_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(text)

    settings = parse(["--webhook-url", "https://example.org/", "--webhook-secret", str(file)], {})

    assert settings.webhook_secret == SECRET
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    "given", ["whsec_dG9vIHNob3J0", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!", "a\0b"]
)
def test_a_secret_that_is_none_is_not_shown(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, [], {"PARLEY_WEBHOOK_SECRET": given})

    assert line.startswith("parley: PARLEY_WEBHOOK_SECRET: must be whsec_ and 24 to 64 bytes")
    assert given not in line


def test_a_file_without_a_secret_is_told_from_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "secret"
    file.write_text("correct horse")

    line = complaint(capsys, ["--webhook-secret", str(file)])

    assert "--webhook-secret: names a file that does not have whsec_" in line
    assert "horse" not in line


def test_nothing_is_sent_unsigned(capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, ["--webhook-url", "https://example.org/hook"])

    assert "--webhook-url: needs --webhook-secret" in line


@pytest.mark.parametrize("url", ["example.org", "ftp://example.org/", "https://a:b@example.org/"])
def test_the_address_of_a_receiver_must_be_one(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = complaint(capsys, ["--webhook-url", url, "--webhook-secret", SECRET])

    assert line.startswith("parley: --webhook-url: must ")
