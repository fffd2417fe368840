import { isTransient } from '../api/problem.ts'
import { Button } from '../ui/Button.tsx'
import { formatBytes } from '../ui/format.ts'
import type { Attachment, Attachments } from './useAttachments.ts'

/** The files of the next message or run, with the progress of their uploads. */
export function AttachmentList({ attachments }: { attachments: Attachments }) {
  if (attachments.items.length === 0) {
    return null
  }
  return (
    <ul aria-label="Attached files" className="mb-2 flex max-h-40 flex-col gap-1 overflow-y-auto">
      {attachments.items.map((item) => (
        <AttachmentRow
          key={item.key}
          item={item}
          onRemove={() => attachments.remove(item.key)}
          onRetry={() => attachments.retry(item.key)}
        />
      ))}
    </ul>
  )
}

interface RowProps {
  item: Attachment
  onRemove: () => void
  onRetry: () => void
}

function AttachmentRow({ item, onRemove, onRetry }: RowProps) {
  const { path, file, progress, fileId, error } = item
  return (
    <li className="flex flex-wrap items-center gap-x-3 rounded-lg bg-soft px-3 text-xs">
      <span dir="auto" className="text-verbatim min-w-0 flex-1 font-mono">
        {path}
      </span>
      <span className="text-muted tabular-nums">{formatBytes(file.size)}</span>
      {error ? (
        <span role="alert" className="text-verbatim font-medium text-danger">
          {error.message}
        </span>
      ) : (
        fileId === undefined && (
          <progress aria-label={`Upload of ${path}`} max={1} value={progress} className="h-1.5 w-24" />
        )
      )}
      {error && isTransient(error) && (
        <Button look="plain" aria-label={`Upload ${path} again`} onClick={onRetry}>
          Try again
        </Button>
      )}
      <Button look="plain" aria-label={`Remove ${path}`} onClick={onRemove}>
        Remove
      </Button>
    </li>
  )
}
