# 两条主要的命令：make book（建书）和 make test（跑全部测试）。只要有 Python 3.11+ 和 make 就能用。
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
THREADS ?= 1
PORT ?= 8000

# 网络和图都小，一个线程反而最快：两个线程跑完多数章要多花两到四成，时间花在互相等待上
export OMP_NUM_THREADS ?= $(THREADS)
export OMP_WAIT_POLICY ?= PASSIVE
# glibc 用过的大块内存留着再用，不还给系统：不留的话，每批前向都要重新要几千页，慢三成多
export MALLOC_MMAP_THRESHOLD_ ?= 33554432
export MALLOC_TRIM_THRESHOLD_ ?= 268435456
# 建书和测试用快速档，不画进度条、不记练习的进度
book test more-tests: export CNNLAB_PROFILE ?= quick
book test more-tests: export CNNLAB_BARS = 0

INSTALLED := $(VENV)/.installed
BOOK_INPUTS := _build/.inputs
# 面板里上传的照片可以大到 100 MB；不写时超过 10 MB 就断开连接
UPLOADS := '--ServerApp.tornado_settings={"websocket_max_message_size": 104857600}'
LAB_OPTIONS := $(UPLOADS) --LabApp.app_settings_dir=book/_lab --LabApp.default_url=/lab/tree/book/index.md
PACKAGE := $(shell find cnnlab -type f -not -path '*/__pycache__/*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help install book test more-tests panels accelerator colab fuzz lab serve zip wheel bench pages lint publish-url clean workbench

help:  ## 列出所有命令
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

install: $(INSTALLED)  ## 建好 .venv，装好书和开发要用的包

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("需要 Python 3.11 或更新的版本，现在是 " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[book,dev]"
	@touch $@

# 程序包或书的设置变了，旧的运行结果就不再算数
$(BOOK_INPUTS): $(PACKAGE) _config.yml _toc.yml $(wildcard book/_ext/*.py)
	@rm -rf _build/html _build/.doctrees _build/.jupyter_cache
	@mkdir -p _build && touch $@

book: $(INSTALLED) $(BOOK_INPUTS)  ## 运行每一章，建成网页
	@$(BIN)/jupyter-book build . -W -n --keep-going || { rm -rf _build/.doctrees; echo "没有建成：上面列出了出错的地方"; exit 1; }
	@echo "书建好了，用浏览器打开：$(CURDIR)/_build/html/index.html"

test: $(INSTALLED)  ## 跑全部测试，连同每一章笔记本
	$(BIN)/python -m pytest
	@echo "测试都通过了"

more-tests: $(INSTALLED)  ## 慢一些的测试：假想的加速器、小项目、大文件夹
	$(BIN)/python -m pytest tests/slow -o addopts="-ra -p no:nbval"
	@echo "慢的测试都通过了"

panels: $(INSTALLED)  ## 在 JupyterLab 里把每一章的面板都拨一遍（要 Chromium）
	CNNLAB_PROFILE=quick CNNLAB_PANELS=all $(BIN)/python -m pytest tests/browser/test_panels.py -o addopts="-ra -p no:nbval"

accelerator: $(INSTALLED)  ## 全部的章、解答、小项目和考试，在一个假想的加速器上从头到尾跑一遍（约一小时）
	$(BIN)/python tests/slow/accelerator_chapters.py

fuzz: $(INSTALLED)  ## 乱试得更久：每个函数几百种稀奇的参数
	CNNLAB_FUZZ=300 $(BIN)/python -m pytest tests/test_fuzz.py -o addopts=""

colab: $(INSTALLED)  ## 在 Colab 的版本里装上程序包，跑两章（要联网装一整套包）
	CNNLAB_COLAB=1 $(BIN)/python -m pytest tests/slow/test_colab.py -o addopts="-ra -p no:nbval"

lab: $(INSTALLED)  ## 在中文的 JupyterLab 里打开这本书
	$(BIN)/jupyter-lab $(LAB_OPTIONS)

workbench: $(INSTALLED)  ## 在 JupyterLab 里打开工作台：换照片、方法和参数
	$(BIN)/jupyter-lab $(LAB_OPTIONS) --LabApp.default_url=/lab/tree/book/_lab/workbench.ipynb

serve: book  ## 在本机的网页服务器上看建好的书
	@echo "打开 http://127.0.0.1:$(PORT)/ ，按 Ctrl-C 结束"
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

zip: book  ## 把建好的书打成一个压缩包：解开就能从硬盘打开
	$(BIN)/python tools/make_zip.py

wheel: $(INSTALLED)  ## 打成可以安装的 wheel，放在 dist/
	$(BIN)/python -m hatchling build -t wheel

bench: $(INSTALLED)  ## 运行 benchmarks/ 里的速度比较
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

pages: $(INSTALLED)  ## 重写由程序生成的页：参考文献、接口表、勘误、说法；各章的第一格
	$(BIN)/python tools/make_references.py
	$(BIN)/python tools/make_api.py
	$(BIN)/python tools/make_errata.py
	$(BIN)/python tools/make_claims.py
	$(BIN)/python tools/make_setup_cells.py

lint: $(INSTALLED)  ## 检查代码的写法
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

publish-url: $(INSTALLED)  ## 换公开仓库的地址：make publish-url URL=https://…
	$(BIN)/python tools/set_repository.py "$(URL)"

clean:  ## 删掉建好的书和运行结果（不删 .venv）
	rm -rf _build .pytest_cache .ruff_cache
