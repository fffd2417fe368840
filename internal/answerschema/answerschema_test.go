package answerschema

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func mustCompile(t *testing.T, text string) *Schema {
	t.Helper()
	s, err := Compile(text)
	require.NoError(t, err)
	return s
}

func TestCheckNamesTheFirstViolations(t *testing.T) {
	s := mustCompile(t, `{"type":"object","required":["city","days"],"additionalProperties":false,"properties":{
		"city":{"type":"string","minLength":1},"days":{"type":"array","items":{"$ref":"#/$defs/day"}}},
		"$defs":{"day":{"type":"object","properties":{"high":{"type":"number","maximum":60},"at":{"type":"string","format":"date"}}}}}`)
	for answer, want := range map[string][]string{
		`{"city":"Bern","days":[{"high":21.5,"at":"today"}]}`: nil,
		`{"city":"Bern"}`:                      {"/: missing property 'days'"},
		`{"city":"","days":[{"high":"warm"}]}`: {"/city: minLength: got 0, want 1", "/days/0/high: got string, want number"},
		`[]`:                                   {"/: got array, want object"},
	} {
		violations, err := s.Check([]byte(answer))
		require.NoError(t, err)
		require.ElementsMatch(t, want, violations, answer)
	}
	many, err := s.Check([]byte(`{"city":1,"days":[{"high":""},{"high":""},{"high":""},{"high":""}],"` + strings.Repeat("x", 500) + `":1}`))
	require.NoError(t, err)
	require.Len(t, many, maxViolations)
	for _, violation := range many {
		require.Less(t, len(violation), 2*maxDetailBytes+10)
	}
	_, err = s.Check([]byte(`{"city":`))
	require.EqualError(t, err, "the answer is not valid JSON")
}

// Decimal numbers are exact, although JSON's numbers are read as floating-point numbers.
func TestDecimalMultiples(t *testing.T) {
	s := mustCompile(t, `{"type":"object","properties":{"price":{"multipleOf":0.01}}}`)
	violations, err := s.Check([]byte(`{"price":19.99}`))
	require.NoError(t, err)
	require.Empty(t, violations)
	violations, err = s.Check([]byte(`{"price":19.999}`))
	require.NoError(t, err)
	require.NotEmpty(t, violations)
}

func TestFormatsOfOldDrafts(t *testing.T) {
	s := mustCompile(t, `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"at":{"type":"string","format":"date"}}}`)
	violations, err := s.Check([]byte(`{"at":"today"}`))
	require.NoError(t, err)
	require.Len(t, violations, 1, "draft 7 asserts formats")
}

func TestCompileRejects(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "other.json")
	require.NoError(t, os.WriteFile(secret, []byte(`{"type":"string"}`), 0o600))
	nested := strings.Repeat(`{"not":`, 4000) + "true" + strings.Repeat("}", 4000)
	for text, reason := range map[string]string{
		`[]`:                                    "must be a JSON object",
		`{"type":`:                              "is not valid JSON",
		`{"type":"text"}`:                       "is not a JSON Schema: /type: value must be one of",
		`{"properties":7}`:                      "is not a JSON Schema: /properties: got number, want object",
		`{"$ref":"#/$defs/missing"}`:            "is not a JSON Schema",
		`{"$ref":"https://127.0.0.1:1/x.json"}`: `refers to "https://127.0.0.1:1/x.json": it is not part of the schema, and nothing else is loaded`,
		`{"$ref":"other.json"}`:                 "it is not part of the schema",
		`{"$ref":"file://` + secret + `"}`:      "it is not part of the schema",
		`{"$schema":"https://example.com/my-dialect"}`:                    "it is not part of the schema",
		`{"$id":"https://example.com/a","properties":{"a":{"$ref":"b"}}}`: "it is not part of the schema",
		`{"$dynamicRef":"#meta"}`:                                         "uses $dynamicRef, which is not supported",
		`{"pattern":"(?<=a)b"}`:                                           "pattern",
		`{"pattern":"((a{1000}){1000}){1000}"}`:                           "pattern",
		`{"pattern":"` + strings.Repeat("a{1000}", 21) + `"}`:             "is not valid regex",
		`{"multipleOf":0}`:                                                "is not a JSON Schema",
		`{"maximum":1e999999999}`:                                         "is not valid JSON",
		nested:                                                            "is nested more than 64 levels deep",
		`{"enum":[` + strings.Repeat(`{},`, 6000) + `{}]}`:                "has more than 5000 parts",
		`{"properties":{"` + strings.Repeat("x", 257) + `":{}}}`:          "has a member whose name has 257 bytes",
		`{"description":"` + strings.Repeat("x", 64<<10) + `"}`:           "at most 65536 are accepted",
	} {
		start := time.Now()
		_, err := Compile(text)
		require.ErrorContains(t, err, reason, "%.100s", text)
		require.Less(t, len(err.Error()), 1000)
		require.Less(t, time.Since(start), 5*time.Second, "%.100s", text)
	}
}

// doubling returns a schema that applies each of n parts twice to the same value: 2^n visits.
func doubling(n int, keyword, leaf string) string {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/0","$defs":{`)
	for i := range n {
		next := fmt.Sprintf(`{"$ref":"#/$defs/%d"}`, i+1)
		fmt.Fprintf(&b, `"%d":{"%s":[%s,%s]},`, i, keyword, next, next)
	}
	fmt.Fprintf(&b, `"%d":%s}}`, n, leaf)
	return b.String()
}

// Schemas that are within all bounds, and would keep a processor busy for hours.
func TestHostileSchemasEnd(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100) + `{}` + strings.Repeat(`}`, 100)
	items := "[" + strings.Repeat(`"x",`, 500_000) + `"x"]`
	many := func(n int, format string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = strings.NewReplacer("%", fmt.Sprint(i), "!", fmt.Sprint(i+1)).Replace(format)
		}
		return strings.Join(parts, ",")
	}
	for name, c := range map[string]struct{ schema, answer string }{
		"allOf":          {doubling(40, "allOf", `{"type":"string"}`), `{}`},
		"anyOf":          {doubling(40, "anyOf", `{"type":"string"}`), `{}`},
		"oneOf":          {doubling(40, "oneOf", `{"minProperties":1}`), `{}`},
		"recursive":      {`{"properties":{"a":{"$ref":"#"}},"patternProperties":{"a":{"$ref":"#"}},"maxProperties":0}`, deep},
		"recursive in a": {`{"anyOf":[{"properties":{"a":{"$ref":"#"}},"patternProperties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}}}]}`, deep},
		"dependent": {`{"$ref":"#/$defs/0","$defs":{"40":{"type":"string"},` + many(40, `"%":{"maxProperties":0,"dependentSchemas":{"a":{"$ref":"#/$defs/x%"},"b":{"$ref":"#/$defs/x%"}}}`) +
			`,` + many(40, `"x%":{"anyOf":[{"$ref":"#/$defs/!"},{"$ref":"#/$defs/!"}]}`) + `}}`, `{"a":1,"b":2}`},
		"enum":         {`{"items":{"enum":[` + many(10_000, `%`) + `]}}`, "[" + strings.Repeat(`77777,`, 500_000) + `1]`},
		"unique":       {`{"allOf":[` + many(1500, `{"uniqueItems":true,"minItems":%}`) + `]}`, items},
		"pattern":      {`{"items":{"pattern":"(x+x+)+y(a|b|ab){90}"}}`, `["` + strings.Repeat("x", 3<<20) + `"]`},
		"many":         {`{"items":{"type":"integer"}}`, items},
		"contains":     {`{"allOf":[` + many(2000, `{"contains":{"const":%}}`) + `]}`, items},
		"required":     {`{"items":{"required":[` + many(5000, `"%"`) + `]}}`, "[" + strings.Repeat("{},", 500_000) + "{}]"},
		"namePatterns": {`{"patternProperties":{` + many(1500, `"a%b":{}`) + `}}`, `{` + many(100_000, `"a%":1`) + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			s := mustCompile(t, c.schema)
			runtime.ReadMemStats(&before)
			start := time.Now()
			violations, err := s.Check([]byte(c.answer))
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			t.Logf("%s: %v, %d MiB allocated, %d visits, %d work, %v %.100v", name, took, (after.TotalAlloc-before.TotalAlloc)>>20, s.budget.visits, s.budget.work, err, violations)
			require.True(t, err != nil || len(violations) > 0, "it does not match, or that is not known")
			require.Less(t, took, 30*time.Second)
		})
	}
}

// A large answer of an ordinary kind is checked.
func TestLargeAnswerIsChecked(t *testing.T) {
	s := mustCompile(t, `{"type":"object","properties":{"rows":{"type":"array","uniqueItems":true,"items":{"type":"object","required":["id","name"],
		"properties":{"id":{"type":"integer"},"name":{"type":"string","pattern":"^[a-z ]+$"},"state":{"enum":["new","old"]}}}}}}`)
	rows := make([]string, 40_000)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"id":%d,"name":"the name of a row","state":"new"}`, i)
	}
	violations, err := s.Check([]byte(`{"rows":[` + strings.Join(rows, ",") + `]}`))
	require.NoError(t, err)
	require.Empty(t, violations)
	violations, err = s.Check([]byte(`{"rows":[` + rows[0] + "," + strings.Join(rows, ",") + `]}`))
	require.NoError(t, err)
	require.Len(t, violations, 1)
}

// Recursion without end is an error, not a hang.
func TestReferenceToItself(t *testing.T) {
	s, err := Compile(`{"$ref":"#"}`)
	if err == nil {
		var violations []string
		violations, err = s.Check([]byte(`{}`))
		require.True(t, err != nil || len(violations) > 0)
	}
}

func FuzzSchema(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"$ref":"#"}}}`, `{"a":{"a":1}}`)
	f.Add(doubling(20, "anyOf", "{}"), `1`)
	f.Fuzz(func(t *testing.T, schema, answer string) {
		s, err := Compile(schema)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		start := time.Now()
		_, _ = s.Check([]byte(answer))
		require.Less(t, time.Since(start), 30*time.Second)
	})
}
