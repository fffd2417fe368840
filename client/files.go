package client

import (
	"context"
	"encoding/base64"
	"io"
	"iter"
	"net/http"
	"net/url"
	"unicode/utf8"
)

// UploadFile uploads a file of at most 100 MiB, which runs, messages and batches can then name by its ID. The content
// is sent as a stream. The request is retried only if the content is an io.Seeker, such as an *os.File.
func (c *Client) UploadFile(ctx context.Context, name string, content io.Reader) (File, error) {
	return doJSON[File](ctx, c, request{
		method: http.MethodPost, path: "/files", query: url.Values{"name": {name}}, stream: content, idempotencyKey: true,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	})
}

// Files returns all files that were uploaded, the newest first.
func (c *Client) Files(ctx context.Context) iter.Seq2[File, error] {
	return paginate(ctx, c, "/files", nil, func(l FileList) ([]File, NextCursor) { return l.Files, l.NextCursor })
}

// UploadedFile returns what is known of a file that was uploaded.
func (c *Client) UploadedFile(ctx context.Context, fileID string) (File, error) {
	return doJSON[File](ctx, c, request{method: http.MethodGet, path: filePath(fileID)})
}

// FileContent opens the content of a file that was uploaded. The caller must close it.
func (c *Client) FileContent(ctx context.Context, fileID string) (io.ReadCloser, error) {
	res, err := c.doWithRetry(ctx, request{method: http.MethodGet, path: filePath(fileID) + "/content"})
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// DeleteFile deletes a file that was uploaded. Work that was accepted with it keeps its content.
func (c *Client) DeleteFile(ctx context.Context, fileID string) error {
	_, err := doJSON[noContent](ctx, c, request{method: http.MethodDelete, path: filePath(fileID)})
	return err
}

// FileByID returns an input file whose content was uploaded. Path is relative to the agent's working folder.
func FileByID(path, fileID string) InputFile { return InputFile{Path: path, FileId: fileID} }

// FileWithContent returns an input file that is sent within the request. All of them may have 768 KiB together.
func FileWithContent(path string, content []byte) InputFile {
	text, encoding := string(content), InputFileEncoding("")
	if !utf8.Valid(content) {
		text, encoding = base64.StdEncoding.EncodeToString(content), Base64
	}
	return InputFile{Path: path, Content: &text, Encoding: encoding}
}

func filePath(fileID string) string { return "/files/" + url.PathEscape(fileID) }
