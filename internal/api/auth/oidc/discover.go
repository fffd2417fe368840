package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxDocument bounds what a provider may answer, in bytes.
const maxDocument = 1 << 20

// discover asks the issuer where its keys are (OpenID Connect Discovery 1.0).
func discover(ctx context.Context, client *http.Client, issuer string) (keys string, err error) {
	where := strings.TrimRight(issuer, "/") + "/.well-known/openid-configuration"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s", where, res.Status)
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxDocument)).Decode(&document); err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	if document.Issuer != issuer || document.Keys == "" {
		return "", fmt.Errorf("%s speaks for the issuer %q with keys at %q", where, document.Issuer, document.Keys)
	}
	return document.Keys, nil
}
