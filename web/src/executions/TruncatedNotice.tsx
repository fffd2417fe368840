import { DownloadButton } from '../ui/DownloadButton.tsx'
import { formatBytes } from '../ui/format.ts'
import { downloadResult } from './downloads.ts'

/** Says that a result is truncated, and downloads the complete one. */
export function TruncatedNotice({ executionId, size }: { executionId: string; size?: number | undefined }) {
  return (
    <p className="flex flex-wrap items-center gap-3 rounded-lg border border-line bg-surface px-4 py-2 text-sm">
      This is the first part of a large result{size === undefined ? '' : ` of ${formatBytes(size)}`}.
      <DownloadButton
        name={`${executionId}.json`}
        label="the complete result"
        fetch={() => downloadResult(executionId)}
      />
    </p>
  )
}
