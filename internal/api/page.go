package api

import (
	"errors"
	"io/fs"
	"net/http"

	"github.com/labstack/echo/v4"
)

// page answers with the page, which is asked for anew each time: it names the
// assets of this build.
func (s *Server) page(c echo.Context) error {
	index, err := fs.ReadFile(s.config.Page, "index.html")
	if errors.Is(err, fs.ErrNotExist) {
		return c.String(http.StatusOK, "Airlock is up. This binary was built without its page; `make web` builds it.\n")
	}
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-cache")
	return c.HTMLBlob(http.StatusOK, index)
}

// asset answers with a file of the page. Their names change with their content.
func (s *Server) asset(c echo.Context) error {
	name := "assets/" + c.Param("*")
	if info, err := fs.Stat(s.config.Page, name); err != nil || info.IsDir() {
		return echo.ErrNotFound
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "public, max-age=31536000, immutable")
	http.ServeFileFS(c.Response(), c.Request(), s.config.Page, name)
	return nil
}
