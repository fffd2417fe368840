package environment

import "slices"

// packageHosts are the hosts of the usual registries: what Network.Packages allows. They are those that the clients of
// the registries call to fetch.
var packageHosts = []string{
	"registry.npmjs.org", "registry.yarnpkg.com", // npm
	"pypi.org", "files.pythonhosted.org", // PyPI
	"crates.io", "index.crates.io", "static.crates.io", // crates.io
	"proxy.golang.org", "sum.golang.org", // Go
	"repo.maven.apache.org", "repo1.maven.org", // Maven Central
	"rubygems.org", "index.rubygems.org", // RubyGems
	"deb.debian.org", "security.debian.org", // Debian
	"archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com", // Ubuntu
	"dl-cdn.alpinelinux.org", // Alpine
	"github.com", "codeload.github.com", "raw.githubusercontent.com",
	"objects.githubusercontent.com", "release-assets.githubusercontent.com", // GitHub
}

// codeHosts are the usual hosts of repositories.
var codeHosts = []string{
	"github.com", "api.github.com", "gitlab.com", "bitbucket.org", "api.bitbucket.org", "codeberg.org",
}

// PackageHosts allows the usual registries.
func PackageHosts() Rules { return fixedRules(packageHosts) }

// DevCeiling is the operator's list of airlock dev: the usual registries and hosts of repositories.
func DevCeiling() Rules { return fixedRules(slices.Concat(packageHosts, codeHosts)) }

func fixedRules(hosts []string) Rules {
	r, err := ParsePatterns(hosts)
	if err != nil {
		panic(err) // a test reads the lists
	}
	return r
}
