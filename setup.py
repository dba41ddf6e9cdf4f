"""Packages and entry points; the rest of the metadata is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["cloudmasterd*", "func*", "certmaster*"]),
    package_data={"cloudmasterd.web": ["templates/*", "static/*"], "func.minion.install": ["bin/*"]},
    entry_points={
        "console_scripts": [
            "cloudmasterd = cloudmasterd.cli:main",
            "cloudmasterctl = cloudmasterd.control.cli:main",
            "cloudmaster-join = func.minion.join.cli:main",
            "func = func.overlord.cli:main",
            "funcd = func.minion.cli:main",
            "certmaster = certmaster.cli:certmaster",
            "certmaster-ca = certmaster.cli:certmaster_ca",
            "certmaster-request = certmaster.cli:certmaster_request",
            "certmaster-sync = func.certmaster_sync.cli:main",
        ]
    },
)
