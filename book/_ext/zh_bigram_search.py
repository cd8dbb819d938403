"""不用词典的中文全文搜索：索引和查询都切成相邻两个汉字的小段。

查询里的“什么是”“怎样”一类问句的话先去掉；术语表里有的词，讲它的那一章排在最前面（_static/scorer.js）。
不管英文词形：拉丁字母和数字的词按空白切开，只转成小写。
"""

import json
import re
from pathlib import Path

from sphinx.search import SearchLanguage, languages

HAN = "\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff"
_TOKEN = re.compile(f"[{HAN}]+|[A-Za-z0-9_]+")

# 与 cut 做同一件事：查询怎么切，索引就得怎么切
_SPLITTER = """
const ASKING = /什么是|是什么|什么叫|什么|为什么|怎么样|怎样|怎么|如何|哪些|哪个|哪里|多少|是不是|能不能|[吗呢？?]/g;
function splitQuery(query) {
  const words = [];
  const plain = query.replace(ASKING, " ");
  for (const [run] of (plain.trim() ? plain : query).matchAll(/[HAN]+|[A-Za-z0-9_]+/g)) {
    if (/^[A-Za-z0-9_]/.test(run) || run.length === 1) {
      words.push(run);
      continue;
    }
    for (let start = 0; start < run.length - 1; start += 1) words.push(run.slice(start, start + 2));
  }
  return words;
}
""".replace("HAN", HAN)


def cut(text: str) -> list[str]:
    """把一段文字切成搜索用的小段：汉字两个一段（另加单字），其余整词。"""
    pieces = []
    for run in _TOKEN.findall(text):
        if run[0].isascii():
            pieces.append(run.lower())
        else:
            pieces += [run[start : start + 2] for start in range(len(run) - 1)]
            pieces += run
    return pieces


class ChineseBigrams(SearchLanguage):
    """Sphinx 的中文搜索，换成两字一段的切法。"""

    lang = "zh"
    language_name = "Chinese"
    js_splitter_code = _SPLITTER

    def split(self, input: str) -> list[str]:
        return cut(input)

    def word_filter(self, word: str) -> bool:
        return bool(word)


def defined_in(book: Path) -> dict[str, str]:
    """术语表里的词 -> 讲它的那一章（如 book/patches）；“见”一栏写章的标题，或链接。"""
    titles = {title_of(path): path.stem for path in book.glob("*.ipynb")}
    found = {}
    for line in (book / "glossary.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or len(cells) < 5:
            continue
        link = re.search(r"\((\w+)\.ipynb", cells[-1])
        slug = link[1] if link else titles.get(cells[-1])
        if slug:
            found[re.sub(r"[（(].*", "", cells[0])] = f"book/{slug}"
    return found


def title_of(path: Path) -> str:
    """一个笔记本的大标题。"""
    source = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
    return "".join(source).splitlines()[0].lstrip("# ").strip()


def setup(app):
    """在 Sphinx 里登记；两个语言名都要，配置写的是 zh_CN。"""
    table = json.dumps(defined_in(Path(app.srcdir) / "book"), ensure_ascii=False)
    ChineseBigrams.js_splitter_code = f"{_SPLITTER}\nconst DEFINED_IN = {table};\n"
    languages["zh"] = languages["zh_CN"] = ChineseBigrams
    return {"parallel_read_safe": True, "parallel_write_safe": True}
