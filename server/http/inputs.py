"""What is sent to the handlers of accounts and posts."""

import unicodedata
from typing import Annotated, Final

import attrs
from litestar.openapi.spec import Example
from litestar.params import Parameter

from protocol.codec import clean_name
from protocol.limits import NAME_LENGTH
from server.auth.emails import EMAIL_LENGTH, EMAIL_PATTERN, clean_email
from server.auth.passwords import LONGEST, SHORTEST, prepare
from server.http.bodies import Strict, cleaned

POST_LENGTH: Final = 500

_CONTROL: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_LINE: Final = rf"^[^{_CONTROL}]*$"
NAME_PATTERN: Final = rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"
# A post has lines of its own.
_UNFIT: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_TEXT: Final = rf"^[^{_UNFIT}]*[^\s{_UNFIT}][^{_UNFIT}]*$"

Username = Annotated[
    str,
    Parameter(
        description="As others see it; need not be unique. Blanks around it do not count",
        min_length=1,
        max_length=NAME_LENGTH,
        pattern=NAME_PATTERN,
        examples=[Example(value="Ada")],
    ),
]
Address = Annotated[
    str,
    Parameter(
        description="E-mail address, unique whatever its case; no other user sees it",
        max_length=EMAIL_LENGTH,
        pattern=EMAIL_PATTERN,
        examples=[Example(value="ada@example.com")],
    ),
]
NewPassword = Annotated[
    str,
    Parameter(
        description="Compared by its characters (RFC 8265), whatever keyboard they come from",
        min_length=SHORTEST,
        max_length=LONGEST,
        pattern=_LINE,
        examples=[Example(value="correct horse battery")],
    ),
]


def clean_post(text: str) -> str:
    """Judge the text of a post; lines and tabs may be in it.

    Raises:
        ValueError: if it is blank, too long, or has control characters in it.
    """
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > POST_LENGTH:
        raise ValueError(f"must be at most {POST_LENGTH} characters long")
    if any(unicodedata.category(each) == "Cc" and each not in "\n\r\t" for each in text):
        raise ValueError("must not contain control characters")
    return text


def check_password(text: str) -> str:
    """Judge a password, and leave it as it is."""
    prepare(text)
    return text


@attrs.frozen(kw_only=True)
class Registration(Strict):
    """Who wants an account."""

    username: Username = attrs.field(metadata=cleaned(clean_name))
    email: Address = attrs.field(metadata=cleaned(clean_email))
    password: NewPassword = attrs.field(metadata=cleaned(check_password), repr=False)


@attrs.frozen(kw_only=True)
class Login(Strict):
    """Who says that an account is theirs."""

    email: Annotated[
        str,
        Parameter(
            description="The address given at registration, in any case",
            examples=[Example(value="ada@example.com")],
        ),
    ]
    password: Annotated[
        str,
        Parameter(
            description="The password of the account",
            examples=[Example(value="correct horse battery")],
        ),
    ] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Change(Strict):
    """What to change of one's account; what is absent or null stays."""

    username: Username | None = attrs.field(metadata=cleaned(clean_name), default=None)
    password: NewPassword | None = attrs.field(
        metadata=cleaned(check_password), default=None, repr=False
    )
    old_password: Annotated[
        str | None, Parameter(description="Needed with a new password: the one until now")
    ] = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class NewPost(Strict):
    """What to say to one's followers."""

    text: Annotated[
        str,
        Parameter(
            description="May have several lines",
            min_length=1,
            max_length=POST_LENGTH,
            pattern=_TEXT,
            examples=[Example(value="The release is out.")],
        ),
    ] = attrs.field(metadata=cleaned(clean_post))
