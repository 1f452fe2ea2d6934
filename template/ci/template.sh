#!/usr/bin/env bash
# Is there a newer version of the template, and what does it change?
#
#     bash ci/template.sh check      ends with 0 where the pilot is current, with 2 where it is not
#     bash ci/template.sh update     updates the checkout; fails on a conflict and on a lock that cannot be made
#
# The template owns this file; an update replaces it. Extension point: .copier-answers.yml names the template; what the new
# version brings is in its CHANGELOG.md.
set -euo pipefail
cd "$(dirname "$0")/.."
copier=(uvx --quiet --from 'copier>=9.19,<10' copier)

case "${1:-}" in
  check)
    code=0
    # Only when it is quiet does its exit code tell.
    "${copier[@]}" check-update --quiet || code=$?
    case "$code" in
      0) newer=false said="The pilot is current." ;;
      2) newer=true said="A newer version of the template is there: uvx copier update --defaults" ;;
      *) exit "$code" ;;
    esac
    echo "$said"
    echo "newer=$newer" >>"${GITHUB_OUTPUT:-/dev/null}"
    exit "$code"
    ;;
  update)
    "${copier[@]}" update --defaults
    # Copier ends well with conflict marks in the files.
    git add --all
    bash ci/files.sh
    uv lock --quiet
    ;;
  *)
    echo "Say check or update: bash ci/template.sh check" >&2
    exit 2
    ;;
esac
