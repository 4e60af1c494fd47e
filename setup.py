"Supplies setuptools with the metadata in settings.ini (everything pyproject.toml lists as `dynamic`)."
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

root = Path(__file__).parent
parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(root/"settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

def words(key): return cfg.get(key, "").split()

statuses = ["1 - Planning", "2 - Pre-Alpha", "3 - Alpha", "4 - Beta",
            "5 - Production/Stable", "6 - Mature", "7 - Inactive"]

setup(
    keywords=words("keywords"),
    classifiers=[
        f"Development Status :: {statuses[cfg.getint('status') - 1]}",
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        "Programming Language :: Python :: 3 :: Only",
        "Framework :: Jupyter",
    ],
    install_requires=words("requirements"),
    extras_require={k.removesuffix("_requirements"): words(k) for k in cfg if k.endswith("_requirements")},
    entry_points={"console_scripts": words("console_scripts"), "nbdev": words("nbdev_index")},
)
