"""由 book/references.bib 写出 book/references.md：python tools/make_references.py

每条文献一个小标题，就是它的键；各章用普通的 Markdown 链接引用它，例如
[Zeiler 与 Fergus，2014](references.md#zeiler2014)。建好的书、GitHub 和 JupyterLab 都认得这种链接。
标题之后的粗体字是正文里的写法；建书时由 book/_ext/references_page.py 把它换到标题上，锚点不变。
"""

import re
from pathlib import Path

from make_errata import chapters, markdown_of, title_of
from pybtex.database import Entry, parse_file

from cnnlab.core.command_line import Parser
from cnnlab.show.claims import claim_texts

ROOT = Path(__file__).resolve().parent.parent
BIB, PAGE = ROOT / "book" / "references.bib", ROOT / "book" / "references.md"
VENUES = ("booktitle", "journal", "institution", "howpublished")
HEAD = """# 参考文献

按第一作者的姓排列，写法与正文里的相同；每条末尾是引用它的章和说法。
这一页由 `make pages` 从 `book/references.bib` 和各章写出。
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


def short_form(entry: Entry) -> str:
    """正文里的写法：Zeiler 与 Fergus，2014；Gatys 等，2016；司念文等，2022。"""
    people = entry.persons["author"]
    first = [" ".join([*one.prelast_names, *one.last_names]) for one in people[:2]]
    if is_chinese(first[0]):
        who = first[0] + ("等" if len(people) > 1 else "")
    elif len(people) == 2:
        who = " 与 ".join(first)
    else:
        who = first[0] + (" 等" if len(people) > 2 else "")
    return f"{who}，{entry.fields['year']}"


def places() -> dict[str, list[str]]:
    """每条文献在哪里引用：{键: [章的链接…, 说法的链接…]}，按书的次序。"""
    found: dict[str, list[str]] = {}
    for slug in chapters():
        text = markdown_of(ROOT / "book" / f"{slug}.ipynb")
        for key in dict.fromkeys(re.findall(r"references\.md#(\w+)", text)):
            found.setdefault(key, []).append(f"[{title_of(text)}]({slug}.ipynb)")
    for row in claim_texts().values():
        for key in row["papers"].split():
            found.setdefault(key, []).append(f"第 {row['number']} 条")
    return found


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


def entry_text(key: str, entry: Entry, cited: list[str]) -> str:
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
    where = f"\n\n引用：{'、'.join(cited)}。" if cited else ""
    return f"## {key}\n\n**{short_form(entry)}**\n\n{line.rstrip()}{where}\n"


def page_text() -> str:
    """整页的 Markdown。"""
    entries = parse_file(str(BIB), bib_format="bibtex").entries
    cited = places()
    listed = (entry_text(key, entries[key], cited.get(key, [])) for key in sorted(entries))
    return "\n".join([HEAD, *listed])


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    PAGE.write_text(page_text(), encoding="utf-8")
    print(f"写出 {PAGE.relative_to(ROOT)}")
