package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	testFile   = regexp.MustCompile("`([\\w./]+_test\\.go)`")
	testName   = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	quotedList = regexp.MustCompile(`\("[^)]+"\)`)
	quoted     = regexp.MustCompile(`"([^"]+)"`)
)

// docs/security.md cites test files, tests, and cases of attack_test.go and adversary_test.go. All of them exist.
func TestSecurityPageCitesExistingTests(t *testing.T) {
	page := read(t, root+"/docs/security.md")
	sources := testSources(t)
	var all, cases strings.Builder
	for path, source := range sources {
		all.WriteString(source)
		if base := filepath.Base(path); base == "attack_test.go" || base == "adversary_test.go" {
			cases.WriteString(source)
		}
	}
	for _, m := range testFile.FindAllStringSubmatch(page, -1) {
		found := false
		for path := range sources {
			found = found || strings.HasSuffix(path, "/"+m[1])
		}
		require.True(t, found, "no file %s", m[1])
	}
	names := testName.FindAllStringSubmatch(page, -1)
	require.Greater(t, len(names), 40)
	for _, m := range names {
		require.True(t, strings.Contains(all.String(), "\nfunc "+m[1]+"("), "no test %s", m[1])
	}
	for _, list := range quotedList.FindAllString(page, -1) {
		for _, m := range quoted.FindAllStringSubmatch(list, -1) {
			require.True(t, strings.Contains(cases.String(), `"`+m[1]), "no case %q", m[1])
		}
	}
}

// testSources returns the Go test files of the repository by path.
func testSources(t *testing.T) map[string]string {
	t.Helper()
	sources := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git" || entry.Name() == "bin"):
			return fs.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			sources[path] = string(text)
			return err
		}
		return nil
	}))
	return sources
}
