// Package docs has no code: its test holds the pages together.
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
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
	left    = regexp.MustCompile(`[^\p{L}\p{N}\- ]`) // out of a heading's anchor
)

// Each link within the project leads to a file that is there, and to a heading of it.
func TestNoLinkIsBroken(t *testing.T) {
	pages, err := filepath.Glob(root + "/*.md")
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(root+"/docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	}))
	checked := 0
	for _, page := range pages {
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

// The decisions are numbered without a gap, and their index has each by its heading.
func TestTheIndexOfTheDecisions(t *testing.T) {
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

// The README's map has each package of internal.
func TestTheMapIsWhole(t *testing.T) {
	packages, err := os.ReadDir(root + "/internal")
	require.NoError(t, err)
	text := read(t, root+"/README.md")
	for _, p := range packages {
		require.Regexp(t, "`(internal/)?"+p.Name()+"`", text)
	}
}

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	return fenced.ReplaceAllString(string(text), "")
}

// anchors are those of a page's headings, as GitHub makes them.
func anchors(page string) (found []string) {
	for _, h := range heading.FindAllStringSubmatch(page, -1) {
		found = append(found, strings.ReplaceAll(left.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return found
}
