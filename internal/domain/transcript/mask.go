package transcript

import (
	"regexp"
	"strings"
)

// secretKind is a kind of key or token that can be recognized.
type secretKind struct {
	literal string         // is in every secret of the kind; a text without it is not searched
	pattern *regexp.Regexp // its first group stays
}

func kind(literal, pattern string) secretKind {
	return secretKind{literal, regexp.MustCompile(pattern)}
}

// The formats are those that the issuers document for secret scanners.
var secretKinds = []secretKind{
	kind("alk_", `\b(alk_)[0-9a-z]{30,}`),                                                     // Airlock
	kind("sk-", `\b(sk-(?:ant-|proj-|svcacct-|admin-)?)[A-Za-z0-9_-]{20,}`),                   // Anthropic, OpenAI
	kind("gh", `\b(gh[pousr]_)[A-Za-z0-9]{30,}`),                                              // GitHub
	kind("github_pat_", `\b(github_pat_)[A-Za-z0-9_]{30,}`),                                   // GitHub
	kind("glpat-", `\b(glpat-)[A-Za-z0-9_.-]{20,}`),                                           // GitLab
	kind("AKIA", `\b(AKIA)[0-9A-Z]{16}\b`),                                                    // Amazon
	kind("ASIA", `\b(ASIA)[0-9A-Z]{16}\b`),                                                    // Amazon, temporary
	kind("ecret", `(?i)\b(aws_?secret_?access_?key["']?\s*[=:]\s*["']?)[A-Za-z0-9/+=]{40}\b`), // Amazon
	kind("ECRET", `(?i)\b(aws_?secret_?access_?key["']?\s*[=:]\s*["']?)[A-Za-z0-9/+=]{40}\b`),
	kind("AIza", `\b(AIza)[0-9A-Za-z_-]{35}`),                                                         // Google
	kind("ya29.", `\b(ya29\.)[0-9A-Za-z_.-]{20,}`),                                                    // Google, access
	kind("GOCSPX-", `\b(GOCSPX-)[0-9A-Za-z_-]{20,}`),                                                  // Google, OAuth
	kind("xox", `\b(xox[abeoprs]-)[0-9A-Za-z-]{10,}`),                                                 // Slack
	kind("xapp-", `\b(xapp-)[0-9A-Za-z-]{10,}`),                                                       // Slack
	kind("_live_", `\b((?:sk|rk)_live_)[0-9A-Za-z]{16,}`),                                             // Stripe
	kind("npm_", `\b(npm_)[0-9A-Za-z]{36}`),                                                           // npm
	kind("pypi-", `\b(pypi-)[0-9A-Za-z_-]{50,}`),                                                      // PyPI
	kind("hf_", `\b(hf_)[0-9A-Za-z]{30,}`),                                                            // Hugging Face
	kind("SG.", `\b(SG\.)[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}`),                                     // SendGrid
	kind("eyJ", `\b(eyJ)[0-9A-Za-z_-]{10,}(?:\.[0-9A-Za-z_-]{10,}){2}`),                               // JSON Web Token
	kind("PRIVATE KEY", `(-----BEGIN [A-Z ]*PRIVATE KEY)-----(?:[A-Za-z0-9+/=\s\\:,]|-[A-Za-z0-9])*`), // PEM
}

// maskText replaces the secret part of a key or token.
const maskText = "[masked]"

// Mask returns the text with the keys and tokens of known kinds replaced. It is no protection against an agent that
// wants to hide a secret: one that is encoded or split is not recognized.
func Mask(text string) string {
	for _, k := range secretKinds {
		if strings.Contains(text, k.literal) {
			text = k.pattern.ReplaceAllString(text, "${1}"+maskText)
		}
	}
	return text
}
