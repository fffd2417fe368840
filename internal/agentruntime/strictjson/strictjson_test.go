package strictjson_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
)

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want error
	}{
		"an object":             {`{"a":[1,{"b":null}]}`, nil},
		"a scalar":              {" 7\n", nil},
		"of the largest depth":  {strings.Repeat("[", 128) + strings.Repeat("]", 128), nil},
		"empty":                 {"", strictjson.ErrMalformed},
		"white space":           {" \n", strictjson.ErrMalformed},
		"text":                  {"hello", strictjson.ErrMalformed},
		"truncated":             {`{"a":`, strictjson.ErrMalformed},
		"two documents":         {`{} {}`, strictjson.ErrMalformed},
		"a trailing letter":     {`{}x`, strictjson.ErrMalformed},
		"a duplicate name":      {`{"a":1,"a":2}`, strictjson.ErrMalformed},
		"an escaped duplicate":  {`{"a":1,"\u0061":2}`, strictjson.ErrMalformed},
		"bad UTF-8":             {"\"\xff\"", strictjson.ErrMalformed},
		"half a surrogate":      {`"\ud800"`, strictjson.ErrMalformed},
		"one too deep":          {strings.Repeat("[", 129) + strings.Repeat("]", 129), strictjson.ErrTooDeep},
		"10,000 deep":           {strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strictjson.ErrTooDeep},
		"10,000 deep and open":  {strings.Repeat(`{"a":`, 10_000), strictjson.ErrTooDeep},
		"NaN":                   {"NaN", strictjson.ErrMalformed},
		"a trailing comma":      {"[1,]", strictjson.ErrMalformed},
		"a comment":             {"{} // x", strictjson.ErrMalformed},
		"a byte order mark":     {"\ufeff{}", strictjson.ErrMalformed},
		"a NUL after the value": {"{}\x00", strictjson.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			err := strictjson.Validate([]byte(c.data))
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
		})
	}
}

// The standard library also accepts every document that Validate accepts.
func TestAcceptedDocumentsParseWithStandardJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.SampledFrom([]byte(`{}[]",:a1\u0 e-.tn`)), 0, 20).Draw(t, "data")
		if strictjson.Validate(data) == nil {
			require.True(t, json.Valid(data))
		}
	})
}

func TestUnmarshalIsCaseSensitive(t *testing.T) {
	var v struct {
		IsError bool `json:"is_error"`
	}
	require.NoError(t, strictjson.Unmarshal([]byte(`{"is_error":true,"Is_Error":false,"more":1}`), &v))
	require.True(t, v.IsError)
	require.ErrorIs(t, strictjson.Unmarshal([]byte(`{"is_error":"yes"}`), &v), strictjson.ErrMalformed)
	require.ErrorIs(t, strictjson.Unmarshal([]byte(`{"is_error":true,"is_error":false}`), &v), strictjson.ErrMalformed)
}

// Validating the largest output of a sandbox allocates little.
func TestLargeDocumentMemory(t *testing.T) {
	for name, data := range map[string][]byte{
		"brackets": bytes.Repeat([]byte("["), 50<<20),
		"a text":   append(append([]byte(`"`), bytes.Repeat([]byte("x"), 50<<20)...), '"'),
		"numbers":  append(append([]byte("[0"), bytes.Repeat([]byte(",0"), 2<<20)...), ']'),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = strictjson.Validate(data) // TestValidate checks the result
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
		})
	}
}
