package reference

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/airlock-run/airlock/internal/api/contract"
)

func TestPageIsCompleteAndSelfContained(t *testing.T) {
	page, err := Render(contract.JSON())
	require.NoError(t, err)
	root, err := html.Parse(strings.NewReader(string(page)))
	require.NoError(t, err)
	ids, links := map[string]bool{}, []string{}
	var styles []string
	for n := range root.Descendants() {
		require.NotEqual(t, "script", n.Data)
		if n.Type == html.ElementNode && n.Data == "style" {
			styles = append(styles, n.FirstChild.Data)
		}
		for _, a := range n.Attr {
			switch a.Key {
			case "id":
				require.False(t, ids[a.Val], "the ID %q is repeated", a.Val)
				ids[a.Val] = true
			case "href":
				links = append(links, a.Val)
			case "src", "style":
				t.Errorf("%s=%q", a.Key, a.Val)
			}
		}
	}
	for name, op := range contract.Operations() {
		require.True(t, ids[op.ID], "%s is missing on the page", name)
	}
	for _, link := range links {
		if link != "/openapi.json" {
			require.True(t, ids[strings.TrimPrefix(link, "#")], "the target of %s is missing", link)
		}
	}
	require.Len(t, styles, 1)
	sum := sha256.Sum256([]byte(styles[0]))
	require.Contains(t, ContentSecurityPolicy, base64.StdEncoding.EncodeToString(sum[:]), "the policy allows the style")
}

func TestPageEscapesDocumentText(t *testing.T) {
	page, err := Render([]byte(`{"info":{"title":"<script>alert(1)</script>","description":"<img src=x>"},"paths":{}}`))
	require.NoError(t, err)
	require.NotContains(t, string(page), "<script")
	require.NotContains(t, string(page), "<img")
	_, err = Render([]byte("no JSON"))
	require.Error(t, err)
}
