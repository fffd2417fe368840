import { useMutation } from '@tanstack/react-query'
import { saveFile } from '../api/download.ts'
import { Button } from './Button.tsx'

interface Props {
  /** The name of the saved file. */
  name: string
  /** What is downloaded, for screen readers. */
  label: string
  /** The text on the button; "Download" where the page already shows the label beside it. */
  text?: string
  fetch: () => Promise<Blob>
}

export function DownloadButton({ name, label, text = 'Download', fetch }: Props) {
  const download = useMutation({ mutationFn: fetch, onSuccess: (content) => saveFile(content, name) })
  return (
    <span className="inline-flex flex-wrap items-center gap-2">
      <Button
        disabled={download.isPending}
        onClick={() => download.mutate()}
        aria-label={`Download ${label}`}
      >
        {download.isPending ? 'Downloading…' : text}
      </Button>
      {download.error && (
        <span role="alert" className="text-sm text-danger">
          {download.error.message}
        </span>
      )}
    </span>
  )
}
