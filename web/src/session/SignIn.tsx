import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useId, useRef, useState, type SubmitEvent } from 'react'
import { Button } from '../ui/Button.tsx'
import { Logo } from '../ui/Logo.tsx'
import { signIn, type Session } from './session.ts'

/** Asks for an API key, on a server that requires one. */
export function SignIn({ session }: { session: Session }) {
  const id = useId()
  const client = useQueryClient()
  const field = useRef<HTMLInputElement>(null)
  const [key, setKey] = useState('')
  const [mistake, setMistake] = useState<string>()

  useEffect(() => field.current?.focus(), [])
  const problem = mistake ?? (session.key === undefined ? undefined : session.rejection)

  function onSubmit(event: SubmitEvent) {
    event.preventDefault()
    if (!isKey(key.trim())) {
      setMistake('This is no key: a key has only ASCII letters, digits and punctuation, without spaces.')
      field.current?.focus()
      return
    }
    client.clear() // removes what the previous key could read
    signIn(key.trim())
  }

  return (
    <main className="grid min-h-dvh place-items-center p-4">
      <title>Sign in · Airlock</title>
      <form onSubmit={onSubmit} className="flex w-full max-w-md flex-col gap-4">
        <Logo />
        <h1 className="text-xl font-semibold tracking-tight">Sign in to Airlock</h1>
        {problem !== undefined && (
          <p role="alert" className="text-verbatim text-sm text-danger">
            {problem}
          </p>
        )}
        <label htmlFor={id} className="text-sm font-medium">
          API key
        </label>
        <input
          id={id}
          ref={field}
          type="password"
          autoComplete="off"
          spellCheck={false}
          value={key}
          onChange={(event) => {
            setKey(event.target.value)
            setMistake(undefined)
          }}
          aria-describedby={`${id}-hint`}
          className="min-h-10 rounded-lg border border-edge bg-surface px-3 font-mono text-sm"
        />
        <p id={`${id}-hint`} className="text-sm text-muted">
          The key of a tenant begins with <code className="font-mono text-xs">alk_</code>; the operator of
          this server issues it. The operator has another one, which the server’s configuration sets. This tab
          stores the key until you close the tab.
        </p>
        <Button type="submit" look="primary" className="self-start" disabled={key.trim() === ''}>
          Sign in
        </Button>
      </form>
    </main>
  )
}

/** Reports whether a text can be sent as a key: a header with other characters cannot, and fails like the network. */
function isKey(text: string): boolean {
  return /^[!-~]+$/.test(text)
}
