"""由 book/references.bib 写出 book/references.md：python tools/make_references.py

每条文献一个小标题，就是它的键；各章用普通的 Markdown 链接引用它，例如
[Zeiler 与 Fergus，2014](references.md#zeiler2014)。建好的书、GitHub 和 JupyterLab 都认得这种链接。
"""

from pathlib import Path

from pybtex.database import Entry, parse_file

ROOT = Path(__file__).resolve().parent.parent
BIB, PAGE = ROOT / "book" / "references.bib", ROOT / "book" / "references.md"
VENUES = ("booktitle", "journal", "institution", "howpublished")
HEAD = """# 参考文献

按键排列；键是第一作者的姓和年份。这一页由 `make pages` 从 `book/references.bib` 写出。
"""


def is_chinese(text: str) -> bool:
    """文字里有没有汉字。"""
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def authors(entry: Entry) -> str:
    """作者名单；超过六位时只写前三位。"""
    names = [
        " ".join(
            [*person.first_names, *person.middle_names, *person.prelast_names, *person.last_names]
        )
        for person in entry.persons["author"]
    ]
    chinese = is_chinese(names[0])
    listed = names if len(names) <= 6 else names[:3]
    tail = "" if len(names) <= 6 else ("等" if chinese else " et al.")
    return ("，" if chinese else ", ").join(listed) + tail


def links(entry: Entry) -> list[str]:
    """论文的链接：arXiv、DOI、网址，有什么写什么。"""
    fields, found = entry.fields, []
    if "eprint" in fields:
        found.append(f"[arXiv:{fields['eprint']}](https://arxiv.org/abs/{fields['eprint']})")
    if "doi" in fields:
        found.append(f"[doi:{fields['doi']}](https://doi.org/{fields['doi']})")
    if "url" in fields:
        found.append(f"[网页]({fields['url']})")
    return found


def entry_text(key: str, entry: Entry) -> str:
    """一条文献的 Markdown。"""
    title, year = entry.fields["title"], entry.fields["year"]
    venue = next(entry.fields[name] for name in VENUES if name in entry.fields)
    place = "" if venue == "arXiv" else f"{venue}, "
    if is_chinese(title):
        line = f"{authors(entry)}。《{title}》。{place.replace(', ', '，')}{year}。{' '.join(links(entry))}"
    else:
        shown = title.replace("<", "&lt;")
        stop = "" if title.endswith(("?", "!")) else "."
        who = authors(entry).rstrip(".")
        line = f"{who}. *{shown}*{stop} {place}{year}. {' '.join(links(entry))}"
    return f"## {key}\n\n{line.rstrip()}\n"


def page_text() -> str:
    """整页的 Markdown。"""
    entries = parse_file(str(BIB), bib_format="bibtex").entries
    return "\n".join([HEAD, *(entry_text(key, entries[key]) for key in sorted(entries))])


if __name__ == "__main__":
    PAGE.write_text(page_text(), encoding="utf-8")
    print(f"写出 {PAGE.relative_to(ROOT)}")
