import { useMutation } from '@tanstack/react-query'
import { save } from '../api/download.ts'
import { Button } from './Button.tsx'

interface Props {
  /** Of the file that the reader gets. */
  name: string
  label: string
  /** On the button, where what it is about does not stand beside it. */
  text?: string
  fetch: () => Promise<Blob>
}

export function DownloadButton({ name, label, text = 'Download', fetch }: Props) {
  const download = useMutation({ mutationFn: fetch, onSuccess: (content) => save(content, name) })
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
