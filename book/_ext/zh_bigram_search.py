"""不用词典的中文全文搜索：索引和查询都切成相邻两个汉字的小段。

不管英文词形：拉丁字母和数字的词按空白切开，只转成小写。
"""

import re

from sphinx.search import SearchLanguage, languages

HAN = "\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff"
_TOKEN = re.compile(f"[{HAN}]+|[A-Za-z0-9_]+")

# 与 cut 做同一件事：查询怎么切，索引就得怎么切
_SPLITTER = """
function splitQuery(query) {
  const words = [];
  for (const [run] of query.matchAll(/[HAN]+|[A-Za-z0-9_]+/g)) {
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


def setup(app):
    """在 Sphinx 里登记；两个语言名都要，配置写的是 zh_CN。"""
    languages["zh"] = languages["zh_CN"] = ChineseBigrams
    return {"parallel_read_safe": True, "parallel_write_safe": True}
