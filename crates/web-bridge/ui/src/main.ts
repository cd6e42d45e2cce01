import { mount } from 'svelte';
import App from './components/App.svelte';
import { Dashboard } from './lib/dashboard.svelte';
import './app.css';

const target = document.getElementById('app');
if (target === null) throw new Error('the page has no #app');

mount(App, { target, props: { dashboard: new Dashboard() } });
