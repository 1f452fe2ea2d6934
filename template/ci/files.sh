#!/usr/bin/env bash
# Refuses what must never be committed: marks and leftovers of a conflict (an update that meets one ends without an error),
# programs and other binary files, and files above 1 MiB. It looks at what is staged in the pilot, and in CI at what was
# pushed:
#
#     bash ci/files.sh
#
# The template owns this file; an update replaces it. Extension point: .gitattributes. A file that must be as it is gets the
# attribute ci-keep (`data/scans.bin ci-keep`): a large one, a binary one, mail whose quotes look like marks.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
# What git prints is read below, whatever colours a person likes.
git() { command git -c color.ui=never "$@"; }

refuse() { # what is wrong, what to do, the paths or lines
  if [ -n "$3" ]; then
    printf '%s\n%s\n\n' "$1 $2" "$3"
    bad=1
  fi
}

# All but what the team has said is in order as it is.
looked_at=':(attr:!ci-keep)'
# git grep ends with 1 where it finds nothing, and above 1 where it fails. All counts as text (-a): an update writes its
# marks also where an attribute says otherwise.
marks=$(git grep --cached -naE '^(<{7}|>{7}|\|{7})([[:space:]]|$)' -- "$looked_at") || [ $? -eq 1 ]
refuse "Conflict marks." "Choose between the two sides, and remove the marks; what only looks like some gets the attribute ci-keep:" "$marks"

refuse "Rejected parts of an update." "Work them into the file they belong to, and remove them:" \
  "$(git ls-files -- '*.rej')"

# git ls-files itself takes attributes for those of a whole repository, in a part of it too.
list() { # the option that says what of each file
  { git grep --cached -laz -e '' -- "$looked_at" || [ $? -eq 1 ]; } | xargs -0r git --literal-pathspecs ls-files "$1" --
}
# The size of each staged file, a tab, its path; and what git takes for binary.
sizes=$(list --stage | sed -E $'s/^[0-9]+ ([0-9a-f]+) [0-3]\t/\\1 /' |
  git cat-file --batch-check=$'%(objectsize)\t%(rest)')
refuse "Larger than 1 MiB." "Keep it elsewhere, or give it the attribute ci-keep in .gitattributes:" \
  "$(awk -F '\t' '$1 > 1048576 && $2 != "uv.lock" {print $2}' <<<"$sizes")"
refuse "Binary." "Keep it elsewhere, or give it the attribute ci-keep in .gitattributes:" \
  "$(list --eol | awk -F '\t' '/^i\/-text/ && tolower($2) !~ /\.(gif|ico|jpe?g|pdf|png|webp)"?$/ {print $2}')"

exit "$bad"
