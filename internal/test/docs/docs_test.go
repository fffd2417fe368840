// Package docs has no code: its tests compare the pages with each other and with the code.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root of the repository.
const root = "../../.."

var (
	link           = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading        = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced         = regexp.MustCompile("(?ms)^```.*?^```")
	notInAnchor    = regexp.MustCompile(`[^\p{L}\p{N}\- ]`) // what GitHub leaves out of a heading's anchor
	repositoryPath = regexp.MustCompile("`((?:internal|cmd|client|emulator|web|scripts|infra|images)/[\\w./-]*)`")
	goFile         = regexp.MustCompile("`(internal/[\\w/]+\\.go)`")
)

// Each link within the repository leads to a file that exists, and to a heading in it.
func TestNoLinkIsBroken(t *testing.T) {
	checked := 0
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			_, err := os.Stat(file)
			require.NoError(t, err, "%s links to it", page)
			if anchor != "" {
				require.Contains(t, anchors(read(t, file)), anchor, "%s links to %s", page, m[1])
			}
			checked++
		}
	}
	require.Greater(t, checked, 20)
}

// Each path of this repository that a page names in backticks exists.
func TestNamedPathsExist(t *testing.T) {
	checked := 0
	for _, page := range pages(t) {
		if filepath.Base(page) == "CHANGELOG.md" { // it also names what was removed
			continue
		}
		for _, m := range repositoryPath.FindAllStringSubmatch(read(t, page), -1) {
			_, err := os.Stat(filepath.Join(root, m[1]))
			require.NoError(t, err, "%s names it", page)
			checked++
		}
	}
	require.Greater(t, checked, 50)
}

// The numbers of files in docs/architecture.md are those of the files in its tables.
func TestNumberOfFilesOnEachWay(t *testing.T) {
	page := read(t, root+"/docs/architecture.md")
	for _, way := range []string{"one execution", "a batch", "a webhook"} {
		_, section, ok := strings.Cut(page, "\n## "+strings.ToUpper(way[:1])+way[1:]+", from request to end\n")
		require.True(t, ok, way)
		section, _, _ = strings.Cut(section, "\n## ")
		section, _, _ = strings.Cut(section, "How many files")
		files := map[string]bool{}
		for _, m := range goFile.FindAllStringSubmatch(section, -1) {
			files[m[1]] = true
		}
		require.Regexp(t, fmt.Sprintf(`\| %s \| \d+ \| %d \|`, way, len(files)), page)
	}
}

// The decisions are numbered without a gap, and their index has each by its heading.
func TestIndexOfDecisions(t *testing.T) {
	files, err := filepath.Glob(root + "/docs/decisions/0*.md")
	require.NoError(t, err)
	var list []string
	for i, file := range files {
		require.True(t, strings.HasPrefix(filepath.Base(file), fmt.Sprintf("%04d-", i+1)), "%s is not number %d", file, i+1)
		title, ok := strings.CutPrefix(heading.FindStringSubmatch(read(t, file))[1], fmt.Sprintf("%d. ", i+1))
		require.True(t, ok, "%s has another number in its heading", file)
		list = append(list, fmt.Sprintf("%d. [%s](%s)", i+1, title, filepath.Base(file)))
	}
	index := read(t, root+"/docs/decisions/README.md")
	require.True(t, strings.HasSuffix(index, "\n\n"+strings.Join(list, "\n")+"\n"), "the index should be:\n%s", strings.Join(list, "\n"))
}

// The README's map has each folder of internal.
func TestReadmeMapIsComplete(t *testing.T) {
	folders, err := os.ReadDir(root + "/internal")
	require.NoError(t, err)
	text := read(t, root+"/README.md")
	for _, f := range folders {
		require.Contains(t, text, "`internal/"+f.Name()+"`")
	}
}

// pages returns the paths of all Markdown pages at the root and in docs.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(root + "/*.md")
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(root+"/docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// read returns a page without its fenced blocks.
func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	return fenced.ReplaceAllString(string(text), "")
}

// anchors are those of a page's headings, as GitHub makes them.
func anchors(page string) (found []string) {
	for _, h := range heading.FindAllStringSubmatch(page, -1) {
		found = append(found, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return found
}
