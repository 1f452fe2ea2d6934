#!/usr/bin/env bash
# Is there a newer version of the template, and what does it change?
#
#     bash ci/template.sh check      ends with 2 where there is one
#     bash ci/template.sh update     brings it, and writes what is new into var/template.md
#
# The template owns this file; an update replaces it. Extension point: .copier-answers.yml names the template.
set -euo pipefail
cd "$(dirname "$0")/.."
copier=(uvx --quiet --from 'copier>=9.19,<10' copier)

check() {
  local code=0
  # uv ends with 2 where it gets no Copier, and Copier, if it is quiet, where there is news.
  "${copier[@]}" --version >/dev/null || exit 1
  "${copier[@]}" check-update --quiet || code=$?
  case $code in 0) newer=false ;; 2) newer=true ;; *) exit $code ;; esac
  echo "newer=$newer" | tee -a "${GITHUB_OUTPUT:-/dev/null}"
  exit $code
}

update() {
  uv sync --quiet --locked
  mkdir -p var
  uv run pilot template news | tee var/template.md
  "${copier[@]}" update --defaults
  # Copier ends well with conflict marks in the files.
  git add --all
  bash ci/files.sh
  uv lock --quiet
  # Or bash would read on in the file that replaced this one.
  exit
}

case "${1:-}" in
  check | update) "$1" ;;
  *) echo "Say check or update: bash ci/template.sh check" >&2; exit 2 ;;
esac
