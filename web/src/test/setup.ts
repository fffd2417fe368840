import '@testing-library/jest-dom/vitest'
import { cleanup, configure } from '@testing-library/react'
import { afterEach } from 'vitest'

// How long findBy… and waitFor wait for the page. They return as soon as their condition holds, so the limit only
// delays failures. The default of one second is too short on a busy machine.
configure({ asyncUtilTimeout: 60_000 })

// jsdom has no screen, so no media query matches.
window.matchMedia = (media) => Object.assign(new EventTarget(), { media, matches: false }) as MediaQueryList
// It has no layout, so nothing is scrolled.
Element.prototype.scrollIntoView = () => undefined

afterEach(() => {
  cleanup()
  window.location.hash = ''
})
