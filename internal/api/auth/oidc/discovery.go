package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxDiscoveryBytes bounds a discovery document.
const maxDiscoveryBytes = 1 << 20

// discoverKeysURL reads the URL of the issuer's keys from its discovery document (OpenID Connect Discovery 1.0).
func discoverKeysURL(ctx context.Context, client *http.Client, issuer string) (keysURL string, err error) {
	discoveryURL := strings.TrimRight(issuer, "/") + "/.well-known/openid-configuration"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, discoveryURL, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s returns %s", discoveryURL, res.Status)
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxDiscoveryBytes)).Decode(&document); err != nil {
		return "", fmt.Errorf("%s: %w", discoveryURL, err)
	}
	if document.Issuer != issuer || document.Keys == "" {
		return "", fmt.Errorf("%s names the issuer %q with keys at %q", discoveryURL, document.Issuer, document.Keys)
	}
	return document.Keys, nil
}
