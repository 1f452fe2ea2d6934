#!/usr/bin/env bash
# Is there a newer version of the template, and what does it change?
#
#     bash ci/update.sh check      ends with 0 where the pilot is current, with 2 where it is not
#     bash ci/update.sh run        writes what is new into var/template.md, and updates the checkout; fails on a conflict and on
#                                  a lock that cannot be made
#     bash ci/update.sh offer      on GitLab: where the pilot is not current, updates it and opens a merge request. That needs
#                                  TEMPLATE_TOKEN, a token that may write the repository; without it, ends with 2
#
# The template owns this file; an update replaces it. Extension point: .copier-answers.yml names the template.
set -euo pipefail
cd "$(dirname "$0")/.."
copier=(uvx --quiet --from 'copier>=9.19,<10' copier)

check() { # sets newer
  local code=0
  # Only when it is quiet does its exit code tell.
  "${copier[@]}" check-update --quiet || code=$?
  case "$code" in
    0) newer=false said="The pilot is current." ;;
    2) newer=true said="A newer version of the template is there: uv run pilot template update" ;;
    *) exit "$code" ;;
  esac
  echo "$said"
  echo "newer=$newer" >>"${GITHUB_OUTPUT:-/dev/null}"
}

run() {
  uv sync --quiet --locked
  mkdir -p var
  uv run pilot template news | tee var/template.md
  "${copier[@]}" update --defaults
  # Copier ends well with conflict marks in the files.
  git add --all
  bash ci/files.sh
  uv lock --quiet
}

offer() {
  git switch --quiet --force-create pilot-template
  git add --all
  git -c user.name="The template" -c user.email="noreply@$CI_SERVER_HOST" commit --quiet --message "Update the template"
  # The token stands in no address and no argument, which logs and other processes would show.
  # A push option is one line, so what is new stays in the log of this job.
  git -c credential.helper= -c credential.helper='!printf "username=template\npassword=%s\n" "$TEMPLATE_TOKEN" #' \
    push --quiet --force \
    --push-option=merge_request.create \
    --push-option=merge_request.target="$CI_DEFAULT_BRANCH" \
    --push-option=merge_request.title="Update the template" \
    --push-option=merge_request.description="What is new, and what there is to do: $CI_JOB_URL" \
    --push-option=merge_request.remove_source_branch \
    "$CI_SERVER_URL/$CI_PROJECT_PATH.git" HEAD:refs/heads/pilot-template
}

main() {
  case "${1:-}" in
    check)
      check
      [ "$newer" = false ] || exit 2
      ;;
    run)
      run
      ;;
    offer)
      check
      if [ "$newer" = true ]; then
        [ -n "${TEMPLATE_TOKEN:-}" ] || exit 2
        run
        offer
      fi
      ;;
    *)
      echo "Say check, run or offer: bash ci/update.sh check" >&2
      exit 2
      ;;
  esac
}

# On one line, because the update replaces this file, and bash would read on in the new one.
main "$@"; exit
