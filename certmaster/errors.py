"""What can go wrong around certificates, named by what the receiver can do about it.

CertmasterError
 |- ConfigError      a configuration file cannot be used: file, line, key and what would be right
 |- BadRequest       a certificate request that is not to be signed: make another
 |- BadCertificate   bytes that are no usable certificate or key
 |- KeyConflict      the name is held by another key: clean it first, or leave it
 |- TokenRefused     a request shows a one-time token that is not good for it: get another token
 |- AlreadyMade      this very request was done before: look at what it made
 |- RenewalRefused   a renewal that does not prove to come from the certificate's holder: enrol anew
 |- TriggerFailed    an administrator's program failed: look what it says, or take it out of its folder
 |- UnknownName      nothing waits, is signed or was made under that name
 |- FileError        a file of certificates cannot be read or written
 |- ListenError      the address to listen on cannot be had
 `- NoCertificate    the certmaster did not give a certificate that can be used
     |- TokenNotTaken    it refused this machine's token, or the file holds none: it may still sign by hand
     |- NotSupported     it is of before the method that was asked for
     `- Unreachable      it did not answer at all
"""

from __future__ import annotations


class CertmasterError(Exception):
    """Root of every error of this package; its text is fit to show to a user."""


class ConfigError(CertmasterError):
    """A configuration file cannot be used; the text names file, key, value and what would be right."""


class BadRequest(CertmasterError):
    """A certificate request that is not to be signed; the text says why."""


class BadCertificate(CertmasterError):
    """Bytes that are no usable certificate or key, or a pair that does not belong together."""


class KeyConflict(CertmasterError):
    """The name is held by another key; the text says how it is freed."""


class TokenRefused(CertmasterError):
    """A request shows a one-time token that is not good for it; the text says why."""


class AlreadyMade(CertmasterError):
    """This very request was done before; the text names what it made."""


class RenewalRefused(CertmasterError):
    """A renewal that does not prove to come from a certificate's holder; the text says why."""


class TriggerFailed(CertmasterError):
    """An administrator's program before or after an act failed; the text names it."""


class UnknownName(CertmasterError):
    """Nothing waits, is signed or was made under that name; the text names the nearest."""


class FileError(CertmasterError):
    """A file of keys or certificates cannot be read or written, or does not hold what it should."""


class ListenError(CertmasterError):
    """The address to listen on cannot be had."""


class NoCertificate(CertmasterError):
    """The certmaster did not give a certificate that can be used."""


class TokenNotTaken(NoCertificate):
    """The certmaster refused this machine's token, or what is in its file is none; the text says why."""


class Unreachable(NoCertificate):
    """The certmaster did not answer; the text says where it was looked for."""


class NotSupported(NoCertificate):
    """The certmaster is of before the method that was asked for."""
