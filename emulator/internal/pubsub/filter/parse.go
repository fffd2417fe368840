package filter

import "fmt"

// Parse reads a filter. The empty filter matches every message.
func Parse(s string) (Filter, error) {
	if len(s) > MaxLength {
		return nil, fmt.Errorf("the filter has %d bytes, more than %d", len(s), MaxLength)
	}
	if s == "" {
		return allOf{}, nil
	}
	tokens, err := lex(s)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	f, err := p.expression()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != end {
		return nil, p.unexpected("the end")
	}
	return f, nil
}

type parser struct {
	tokens []token // the last one is of kind end and is never consumed
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) accept(s string) bool {
	if !p.peek().is(s) {
		return false
	}
	p.next()
	return true
}

func (p *parser) expect(s string) error {
	if !p.accept(s) {
		return p.unexpected(fmt.Sprintf("%q", s))
	}
	return nil
}

func (p *parser) unexpected(want string) error {
	return fmt.Errorf("at %d: expected %s, found %s", p.peek().pos, want, p.peek())
}

// expression reads one term, or several terms that are joined by the same operator.
func (p *parser) expression() (Filter, error) {
	f, err := p.term()
	if err != nil {
		return nil, err
	}
	operator := p.peek()
	if !operator.is("AND") && !operator.is("OR") {
		return f, nil
	}
	terms := []Filter{f}
	for p.accept(operator.text) {
		if f, err = p.term(); err != nil {
			return nil, err
		}
		terms = append(terms, f)
	}
	if t := p.peek(); t.is("AND") || t.is("OR") {
		return nil, fmt.Errorf("at %d: AND and OR need parentheses between them", t.pos)
	}
	if operator.is("AND") {
		return allOf(terms), nil
	}
	return anyOf(terms), nil
}

func (p *parser) term() (Filter, error) {
	if p.accept("NOT") || p.accept("-") {
		f, err := p.term()
		if err != nil {
			return nil, err
		}
		return negation{f}, nil
	}
	switch {
	case p.accept("("):
		f, err := p.expression()
		if err != nil {
			return nil, err
		}
		return f, p.expect(")")
	case p.accept("hasPrefix"):
		return p.prefix()
	case p.accept("attributes"):
		return p.comparison()
	}
	return nil, p.unexpected("attributes, hasPrefix, NOT or (")
}

func (p *parser) comparison() (Filter, error) {
	if p.accept(":") {
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		return hasKey{key}, nil
	}
	if err := p.expect("."); err != nil {
		return nil, err
	}
	key, err := p.key()
	if err != nil {
		return nil, err
	}
	negated := p.accept("!=")
	if !negated {
		if err := p.expect("="); err != nil {
			return nil, err
		}
	}
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	if negated {
		return negation{equal{key, value}}, nil
	}
	return equal{key, value}, nil
}

func (p *parser) prefix() (Filter, error) {
	for _, s := range []string{"(", "attributes", "."} {
		if err := p.expect(s); err != nil {
			return nil, err
		}
	}
	key, err := p.key()
	if err != nil {
		return nil, err
	}
	if err := p.expect(","); err != nil {
		return nil, err
	}
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	return prefix{key, value}, p.expect(")")
}

func (p *parser) key() (string, error) {
	if t := p.peek(); t.kind != word && t.kind != literal {
		return "", p.unexpected("an attribute's key")
	}
	return p.next().text, nil
}

func (p *parser) value() (string, error) {
	if p.peek().kind != literal {
		return "", p.unexpected("a string literal")
	}
	return p.next().text, nil
}
