package filter

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	end kind = iota
	word
	literal
	symbol // one of ( ) , : . = != -
)

type token struct {
	kind kind
	text string // the unquoted text of a literal
	pos  int
}

func (t token) is(s string) bool { return t.kind != literal && t.kind != end && t.text == s }

func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	return strconv.Quote(t.text)
}

// lex splits the filter into tokens, the last of kind end.
func lex(s string) ([]token, error) {
	var out []token
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '"' || c == '\'':
			text, n, err := unquote(s[i:])
			if err != nil {
				return nil, fmt.Errorf("at %d: %w", i, err)
			}
			out = append(out, token{literal, text, i})
			i += n
		case strings.HasPrefix(s[i:], "!="):
			out = append(out, token{symbol, "!=", i})
			i += 2
		case c == '-' && !inWord(s, i), strings.IndexByte("(),:.=", c) >= 0:
			out = append(out, token{symbol, s[i : i+1], i})
			i++
		case wordByte(c):
			j := i
			for j < len(s) && wordByte(s[j]) {
				j++
			}
			out = append(out, token{word, s[i:j], i})
			i = j
		default:
			return nil, fmt.Errorf("at %d: unexpected character %q", i, c)
		}
	}
	return append(out, token{kind: end, pos: len(s)}), nil
}

// inWord reports whether the hyphen at i begins a key, as in "attributes.-k". Otherwise it is a minus sign, which
// negates a term.
func inWord(s string, i int) bool {
	return i > 0 && (s[i-1] == '.' || s[i-1] == ':')
}

func wordByte(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// unquote reads the string literal at the beginning of s. n is its length in s.
func unquote(s string) (text string, n int, err error) {
	quote := s[0]
	var b strings.Builder
	for rest := s[1:]; rest != ""; {
		if rest[0] == quote {
			return b.String(), len(s) - len(rest) + 1, nil
		}
		r, multibyte, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return "", 0, fmt.Errorf("invalid string literal: %w", err)
		}
		if r < utf8.RuneSelf || !multibyte {
			b.WriteByte(byte(r))
		} else {
			b.WriteRune(r)
		}
		rest = tail
	}
	return "", 0, fmt.Errorf("the string literal has no end")
}
