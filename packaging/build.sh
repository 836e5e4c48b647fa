#!/usr/bin/env bash
# Builds the Debian package into bin/: the command, man pages, completions, the
# gateway's unit and its configuration. It is the same for the same commit.
#   packaging/build.sh         prints the package's path
set -euo pipefail
cd "$(dirname "$0")/.."
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
DEB_VERSION=0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)
DEB_ARCH=$(dpkg --print-architecture 2>/dev/null || go env GOARCH)
export SOURCE_DATE_EPOCH DEB_VERSION DEB_ARCH

stage=$PWD/bin/deb
rm -rf "$stage"
mkdir -p "$stage/man"
CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$stage/starttls" ./cmd/starttls
go test ./cmd/starttls -run TestManPages -count=1 -man "$stage/man" >&2
gzip -9n "$stage"/man/*
for shell in bash zsh fish; do
	"$stage/starttls" completion "$shell" >"$stage/$shell"
done
gzip -9n >"$stage/changelog.gz" <<EOF
starttls ($DEB_VERSION) unstable; urgency=medium

  * Built from the source as it is; its CHANGELOG.md tells of what has changed.

 -- The starttls authors <maintainers@example.org>  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
EOF

# The command has Go's library and all these modules in it, so the package has
# their licences.
cat LICENSE - >"$stage/copyright" <<<$'\nThe command contains other modules, whose licences are in modules.gz beside this.'
{
	printf '=== Go\n\n' && cat "$(go env GOROOT)/LICENSE"
	go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/starttls | sort -u | while read -r path version dir; do
		printf '\n=== %s %s\n\n' "$path" "$version"
		find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \) -print0 | sort -z | xargs -0 -r cat
	done
} | gzip -9n >"$stage/modules.gz"

go run "$nfpm" package --config packaging/nfpm.yaml --packager deb --target bin >&2
ls "$PWD/bin/starttls_${DEB_VERSION}_$DEB_ARCH.deb"
