import { afterEach, beforeEach, vi } from 'vitest'

/** Collects what the page saves as files, during the tests of a file or of a describe. */
export function collectDownloads(): { name: string; content: Blob }[] {
  const saved: { name: string; content: Blob }[] = []
  beforeEach(() => {
    let last: Blob
    URL.createObjectURL = (content) => {
      last = content as Blob
      return 'blob:content'
    }
    URL.revokeObjectURL = () => undefined
    vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (this: HTMLAnchorElement) {
      saved.push({ name: this.download, content: last })
    })
  })
  afterEach(() => void saved.splice(0))
  return saved
}
