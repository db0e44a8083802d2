"""Signatures: the published example, and what is a secret."""

import base64

import pytest

from server.support.errors import BadValue
from server.webhooks.signing import check_secret, new_secret, signed

# Of the tests of the libraries that the specification's authors publish.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example_is_signed_as_published() -> None:
    headers = signed(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, BODY)

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_a_new_secret_is_one_and_never_the_same() -> None:
    assert check_secret(new_secret()) != new_secret()


def test_secrets_have_24_to_64_bytes() -> None:
    for size in (24, 64):
        secret = "whsec_" + base64.b64encode(b"x" * size).decode()
        assert check_secret(secret) == secret


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La*aSw",
        ),
        *(f"whsec_{base64.b64encode(b'x' * size).decode()}" for size in (23, 65)),
        *("whsec_ü" + "A" * 32, "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ],
)
def test_what_cannot_sign_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(BadValue, match="must be whsec_") as refused:
        check_secret(text)

    assert len(text) < 8 or text not in str(refused.value)
