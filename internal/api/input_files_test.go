package api

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
)

func inline(s string) *string { return &s }

func TestParseInputFiles(t *testing.T) {
	t.Parallel()
	got, err := parseInputFiles([]contract.InputFile{
		{Path: "a b/한.txt", Content: inline("세상\n")},
		{Path: "bytes", Content: inline("AP8="), Encoding: contract.Base64},
		{Path: "..not-up", Content: inline(""), Encoding: contract.Utf8},
	})
	require.NoError(t, err)
	require.Equal(t, []execution.InputFile{
		{Path: "a b/한.txt", Data: []byte("세상\n")}, {Path: "bytes", Data: []byte{0, 255}}, {Path: "..not-up", Data: []byte{}},
	}, got)
}

// Every error names its field.
func TestParseInputFilesErrors(t *testing.T) {
	t.Parallel()
	paths := func(paths ...string) (files []contract.InputFile) {
		for _, p := range paths {
			files = append(files, contract.InputFile{Path: p, Content: inline("x")})
		}
		return files
	}
	for name, tc := range map[string]struct {
		files  []contract.InputFile
		fields []string
	}{
		"absolute":              {paths("/etc/passwd"), []string{"files.0.path"}},
		"upwards":               {paths("ok", "../x"), []string{"files.1.path"}},
		"upwards in the middle": {paths("a/../../x"), []string{"files.0.path"}},
		"the folder itself":     {paths("."), []string{"files.0.path"}},
		"empty":                 {paths(""), []string{"files.0.path"}},
		"an empty part":         {paths("a//b"), []string{"files.0.path"}},
		"a slash at the end":    {paths("a/"), []string{"files.0.path"}},
		"a new line":            {paths("a\nb"), []string{"files.0.path"}},
		"a NUL":                 {paths("a\x00"), []string{"files.0.path"}},
		"no UTF-8":              {paths("a\xff"), []string{"files.0.path"}},
		"a long part":           {paths(strings.Repeat("x", 256)), []string{"files.0.path"}},
		"a long path":           {paths(strings.Repeat("x/", 600) + "x"), []string{"files.0.path"}},
		"twice":                 {paths("a", "b", "a"), []string{"files.2.path"}},
		"a file as a folder":    {paths("a/b/c", "a"), []string{"files.0.path"}},
		"all at once":           {paths("/", "a", "a", "a/b"), []string{"files.0.path", "files.2.path", "files.3.path"}},
		"no base64":             {[]contract.InputFile{{Path: "a", Content: inline("é"), Encoding: contract.Base64}}, []string{"files.0.content"}},
		"no content":            {[]contract.InputFile{{Path: "a"}}, []string{"files.0.content"}},
		"both":                  {[]contract.InputFile{{Path: "a", Content: inline(""), FileId: id.New(id.File)}}, []string{"files.0.fileId"}},
		"no ID":                 {[]contract.InputFile{{Path: "a", FileId: "file_x"}}, []string{"files.0.fileId"}},
		"an encoding":           {[]contract.InputFile{{Path: "a", FileId: id.New(id.File), Encoding: contract.Base64}}, []string{"files.0.encoding"}},
		"too much":              {[]contract.InputFile{{Path: "a", Content: inline(strings.Repeat("x", execution.MaxInputFilesBytes))}}, []string{"files"}},
	} {
		_, err := parseInputFiles(tc.files)
		require.Error(t, err, name)
		var fields []string
		for _, e := range problemFor(err).Errors {
			fields = append(fields, e.Field)
		}
		require.Equal(t, tc.fields, fields, name)
	}
}

// Accepted files can be written: all lie below the folder, and no path is repeated.
func TestAcceptedInputFilesCanBeWritten(t *testing.T) {
	t.Parallel()
	part := rapid.SampledFrom([]string{"a", "b", "..", ".", "", "c d", "/"})
	rapid.Check(t, func(t *rapid.T) {
		var files []contract.InputFile
		for range rapid.IntRange(1, 4).Draw(t, "files") {
			path := strings.Join(rapid.SliceOfN(part, 1, 4).Draw(t, "path"), "/")
			files = append(files, contract.InputFile{Path: path, Content: inline("x")})
		}
		inputFiles, err := parseInputFiles(files)
		if err != nil {
			return
		}
		for i, f := range inputFiles {
			require.NotRegexp(t, `(^|/)\.{0,2}(/|$)`, f.Path)
			for j, g := range inputFiles {
				require.False(t, i != j && (f.Path == g.Path || strings.HasPrefix(g.Path, f.Path+"/")), "%q and %q", f.Path, g.Path)
			}
		}
	})
}
