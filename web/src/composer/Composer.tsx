import { useEffect, useId, useRef, type DragEvent, type KeyboardEvent, type SubmitEvent } from 'react'
import { AttachmentList } from '../attachments/AttachmentList.tsx'
import { areUploaded, type AttachedFile, type Attachments } from '../attachments/useAttachments.ts'
import { Button } from '../ui/Button.tsx'
import { checkText } from './limit.ts'

interface Props {
  label: string
  action: string
  text: string
  onTextChange: (text: string) => void
  onSubmit: (text: string, files: AttachedFile[]) => void
  attachments: Attachments
  /** A request is pending: the user can type, and cannot send. */
  busy: boolean
  /** Takes the focus on mount, except on touch screens, where that would open a keyboard. */
  focusOnMount?: boolean
}

export function Composer({
  label,
  action,
  text,
  onTextChange,
  onSubmit,
  attachments,
  busy,
  focusOnMount = false,
}: Props) {
  const id = useId()
  const field = useRef<HTMLTextAreaElement>(null)
  const picker = useRef<HTMLInputElement>(null)
  const { error, note } = checkText(text)
  const uploaded = areUploaded(attachments.items)
  const ready = text.trim() !== '' && error === undefined && uploaded && !busy

  useEffect(() => {
    if (focusOnMount && window.matchMedia('(pointer: fine)').matches) {
      field.current?.focus()
    }
  }, [focusOnMount])

  function submit() {
    if (ready) {
      onSubmit(text, attachments.take())
      onTextChange('')
    }
  }

  function onKeyDown(event: KeyboardEvent) {
    // An Enter that completes a syllable in an input method (Korean, Japanese, Chinese) does not send.
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault()
      submit()
    }
  }

  function onFormSubmit(event: SubmitEvent) {
    event.preventDefault()
    submit()
    field.current?.focus()
  }

  function onDrop(event: DragEvent) {
    event.preventDefault()
    attachments.add(event.dataTransfer.files)
  }

  return (
    <form
      onSubmit={onFormSubmit}
      onDragOver={(event) => event.preventDefault()}
      onDrop={onDrop}
      className="mx-auto w-full max-w-3xl"
    >
      <AttachmentList attachments={attachments} />
      <div
        className={`flex items-end gap-2 rounded-xl border bg-surface p-2 ${error ? 'border-danger' : 'border-edge focus-within:border-accent'}`}
      >
        <label htmlFor={id} className="sr-only">
          {label}
        </label>
        <textarea
          id={id}
          ref={field}
          dir="auto"
          rows={1}
          value={text}
          placeholder={label}
          aria-invalid={error !== undefined}
          aria-describedby={`${id}-hint`}
          onChange={(event) => onTextChange(event.target.value)}
          onKeyDown={onKeyDown}
          className="field-sizing-content max-h-60 min-h-9 min-w-0 flex-1 resize-none bg-transparent px-2 py-1.5 outline-none placeholder:text-muted"
        />
        <input
          ref={picker}
          type="file"
          multiple
          hidden
          aria-label="Files to attach"
          onChange={(event) => {
            attachments.add(event.target.files ?? [])
            event.target.value = '' // the same file can be picked again
          }}
        />
        <Button look="plain" onClick={() => picker.current?.click()}>
          Attach
        </Button>
        <Button type="submit" look="primary" disabled={!ready}>
          {action}
        </Button>
      </div>
      <p id={`${id}-hint`} className="mt-1.5 flex justify-between gap-3 px-2 text-xs text-muted">
        <span aria-live="polite" className={error ? 'font-medium text-danger' : ''}>
          {error ??
            note ??
            (uploaded ? 'Up to 256 KiB, and files of up to 100 MiB' : 'Files are being uploaded')}
        </span>
        <span className="max-sm:hidden">
          <kbd className="font-mono">Enter</kbd> {action.toLowerCase()}s ·{' '}
          <kbd className="font-mono">Shift+Enter</kbd> new line
        </span>
      </p>
    </form>
  )
}
