"""What is sent to the handlers of accounts and posts."""

from typing import Annotated, Final

import attrs
from litestar.openapi.spec import Example
from litestar.params import Parameter

from protocol.codec import clean_name
from protocol.limits import NAME_LENGTH
from protocol.text import LINE_PATTERN, PROSE_PATTERN, SECRET_PATTERN, clean_prose
from server.auth.emails import EMAIL_LENGTH, EMAIL_PATTERN, clean_email
from server.auth.passwords import LONGEST, SHORTEST, prepare
from server.http.bodies import Strict, cleaned

POST_LENGTH: Final = 500
"""The most characters of a post."""

Username = Annotated[
    str,
    Parameter(
        description="As others see it; need not be unique. Blanks around it do not count",
        min_length=1,
        max_length=NAME_LENGTH,
        pattern=LINE_PATTERN,
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
        pattern=SECRET_PATTERN,
        examples=[Example(value="correct horse battery")],
    ),
]


def clean_post(text: str) -> str:
    """Judge the text of a post; see :func:`protocol.text.clean_prose`."""
    return clean_prose(text, POST_LENGTH)


def check_password(text: str) -> str:
    """Judge a password, and leave it as it is: it is brought into its form when it is hashed."""
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

    # What no account can have is not refused: it gets the answer of a wrong password, after the
    # same work. So all that both fields need here is an end.
    email: Annotated[
        str,
        Parameter(
            description="The address given at registration, in any case",
            max_length=EMAIL_LENGTH,
            examples=[Example(value="ada@example.com")],
        ),
    ]
    password: Annotated[
        str,
        Parameter(
            description="The password of the account",
            max_length=LONGEST,
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
        str | None,
        Parameter(description="The password until now; needed with a new one", max_length=LONGEST),
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
            pattern=PROSE_PATTERN,
            examples=[Example(value="The release is out.")],
        ),
    ] = attrs.field(metadata=cleaned(clean_post))
