"""What a password has to be, and passwords that are."""

from __future__ import annotations

import hashlib
import unicodedata

from cloudmasterd.clock import Clock
from cloudmasterd.errors import Invalid

MIN_CHARACTERS = 12
MAX_BYTES = 1024
FEW = 5  # different characters are too few
NUL = "\0"  # scrypt fills short passwords up with these: one more at the end makes no difference to it

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32, without those that look alike
_GROUPS, _GROUP = 4, 5

# Of the lists of passwords that were stolen: the commonest that are long enough.
_COMMON = """
123456789012 1234567890123 12345678901234 123456789012345 1234567890123456 012345678901 0123456789012
0123456789abcdef 1q2w3e4r5t6y 1q2w3e4r5t6y7u8i 1qaz2wsx3edc 1qaz2wsx3edc4rfv 1qazxsw23edc q1w2e3r4t5y6
qwertyuiop12 qwertyuiop123 qwertyuiop[] qwertyuiopasdf qwertyuiopasdfghjkl qwertyqwerty qwerty123456
qwerty1234567 qwerty12345678 qwerty123456789 asdfghjkl123 asdfghjklzxcvbnm zxcvbnmasdfghjkl qazwsxedcrfv
abcdefghijkl abcdefghijklm abcdefghijklmnop abcdefghijklmnopqrstuvwxyz abcdef123456 abc123456789
a1b2c3d4e5f6 a12345678901 123456abcdef 123qweasdzxc 123456qwerty 123456789abc 1234567890qwertyuiop
passwordpassword password1234 password12345 password123456 password1234567 password12345678 password123!
password2024 password2025 passw0rd1234 p@ssw0rd1234 p@ssword1234 mypassword123 changemechangeme
changeme1234 letmeinletmein letmein12345 welcome12345 welcome123456 iloveyou1234 iloveyou12345 ilovemyfamily
administrator administrator1 administrador adminadmin12 adminadminadmin admin1234567 admin12345678
cloudmasterd cloudmaster1 cloudmaster12 correcthorsebatterystaple unbelievable
manchesterunited liverpoolfc1 christopher1 thisisapassword
"""
_COMMONEST = frozenset(_COMMON.split())


def check_new(password: str, name: str) -> None:
    """See whether somebody of that name may take a password; Invalid says what would be right.

    Length counts, and not which kinds of characters there are (NIST SP 800-63B, 5.1.1.2).
    """
    reason = _unfit(unicodedata.normalize("NFC", password), name)
    if reason:
        raise Invalid(f"this password cannot be taken: {reason}", [("password", reason)])


def generate(clock: Clock) -> str:
    """A password that nobody guesses, fit to be typed: 20 characters in four groups, 100 bits."""
    chance = hashlib.sha256(clock.new_token().encode("ascii")).digest()[: _GROUPS * _GROUP]
    letters = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in chance)
    return "-".join(letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP))


def _unfit(password: str, name: str) -> str:
    plain = password.casefold()
    if len(password) < MIN_CHARACTERS:
        return f"it has {len(password)} characters; take {MIN_CHARACTERS} or more, e.g. four words"
    if len(to_bytes(password)) > MAX_BYTES:
        return f"it is longer than {MAX_BYTES} bytes; take a shorter one"
    if NUL in password:
        return "it holds the character U+0000, which nobody can type; leave it out"
    if plain == name.casefold():
        return "it is the name of the user; take another one, e.g. four words"
    if plain in _COMMONEST:
        return "it is one of the commonest, which are tried first; take another one, e.g. four words"
    if len(set(plain)) < FEW:
        return f"it is made of fewer than {FEW} different characters; take another one, e.g. four words"
    return ""


def to_bytes(password: str) -> bytes:
    """What is hashed of a password: one form for letters that can be written in two ways, as keyboards do."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
